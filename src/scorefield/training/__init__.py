"""Training: the verb, budgets, the optimizer's loop, validation, and what a run leaves on disk."""
