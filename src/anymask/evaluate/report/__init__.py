"""The report of an evaluation: tables, plots, a page, and drawings of the worst and best cases."""
