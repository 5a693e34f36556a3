"""What a run of measurements says: tables, pages, plots, and pictures of the worst answers."""
