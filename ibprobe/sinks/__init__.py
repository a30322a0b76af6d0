"""Records to places: terminal, W&B."""
