"""Things known from an example, found in other images."""
