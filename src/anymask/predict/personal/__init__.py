"""Things known from examples, found in other images.

examples.py      what is shown: images, masks, names
persam.py        PerSAM and PerSAM-F as published; mask_weights.py, what the latter learns
matching.py      how alike a mask and a thing are; views.py, calibrate.py: how alike is enough
instances.py     from cells that resemble a thing to masks
personal.py      `Personal`, which finds things; what `Segmenter.personalize` returns
"""

from anymask.predict.personal.personal import Personal, learn, personalize

__all__ = ["Personal", "learn", "personalize"]
