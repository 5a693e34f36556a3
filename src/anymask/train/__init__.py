"""Training: one loop, what can be learned on it, and from whom.

loop.py         `fit`: learn, validate, save, go on where it stopped (run/ is what it is made of)
segmentation/   to segment: from the prompts of simulated users, or without any
finetuning/     from one's own images: `finetune`
distillation/   from a larger model: `distill`
"""
