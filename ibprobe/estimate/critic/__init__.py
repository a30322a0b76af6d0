"""Rows of a pair to held-out critics: inputs, head start, towers, training, bounds."""
