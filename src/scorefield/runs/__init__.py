"""Cost, progress, moments and origin of a run, and the part that broke where it failed."""
