"""Accelerate: a run that is stopped and resumed goes on with the same records, and a tracker gets the values."""
