"""Which image comes next, and who works on which."""
