"""Moving to history, and what must hold of it: every row is in one place, whoever dies meanwhile."""
