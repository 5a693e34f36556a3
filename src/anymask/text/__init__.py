"""Words: how alike a text and masks are."""
