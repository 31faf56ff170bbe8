"""Training: budgets, the descent, validation, and what a run leaves on disk."""
