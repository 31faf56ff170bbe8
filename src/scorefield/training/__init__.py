"""Training: the verb, batches of crops, budgets, the descent, validation, and what a run leaves on disk."""

from scorefield.training import augmentations as augment

__all__ = ["augment"]
