"""Linear algebra of batches, image by image: changes of precision, covariances and solvers."""
