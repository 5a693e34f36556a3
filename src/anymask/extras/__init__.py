"""What people make with masks: a small room for each, on the same Image, Prompt and Masks."""
