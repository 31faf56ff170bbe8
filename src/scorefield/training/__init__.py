"""Training: ``train``, budgets, the optimizer's loop, validation, and the folder of a training."""
