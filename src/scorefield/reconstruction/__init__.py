"""From a prior and a measurement to posterior samples, and to a folder of images."""
