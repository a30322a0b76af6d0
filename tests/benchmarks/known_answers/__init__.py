"""Known answers: data whose mutual information is known, what is run on them, and what is asked of the result."""
