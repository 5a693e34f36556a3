"""Learning to segment: what is asked, how wrong an answer is, and how good a model has become."""
