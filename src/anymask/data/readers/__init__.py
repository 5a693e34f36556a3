"""One file per layout in which data sets are published, and what their readers share."""
