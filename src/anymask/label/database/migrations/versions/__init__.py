"""One file for each step; a new one names the one before it as its ``down_revision``."""
