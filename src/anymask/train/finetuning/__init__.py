"""Fine-tuning: which parts of a model learn, and from which images."""
