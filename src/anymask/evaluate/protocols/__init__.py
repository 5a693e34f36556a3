"""What can be measured, one file per protocol."""
