"""The regularization lens: runs that differ by design, and what their differences show."""
