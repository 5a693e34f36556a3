"""The studio as the page of a label project."""
