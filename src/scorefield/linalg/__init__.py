"""Linear algebra of batches: precision, covariances and solvers, each image on its own."""
