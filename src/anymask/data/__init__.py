"""Images with masks for training and evaluation: data sets, simulated prompts, augmentation."""
