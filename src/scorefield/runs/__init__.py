"""What a run costs, what it keeps and where its results come from."""
