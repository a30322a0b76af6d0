"""When a snapshot's rows are there: where they are worked on, what of it the budget allows, what is kept."""
