"""What is kept: records, flags, guards, run directories."""
