"""Training: losses and the objectives built on them."""
