"""From images to embeddings, and from embeddings and prompts to masks.

model = load()
photo = model.embed("truck.jpg")
masks = model.predict(photo, points=[(500, 375)])
"""

from anymask.predict.loading import load
from anymask.predict.segmenter import Segmenter

__all__ = ["Segmenter", "load"]
