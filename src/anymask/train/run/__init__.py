"""What the loop is made of: a step and its precision, processes, checkpoints, a run's folder."""
