"""IB solvers compared: speed, and how far each stays from the best objective."""
