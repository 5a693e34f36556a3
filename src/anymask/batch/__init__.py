"""A folder of images in, results out: for the command line, Python, and whatever serves either."""
