"""Learning to segment: prompts, losses, and how good a model has become."""
