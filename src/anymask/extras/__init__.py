"""What people make with masks: a small room for each, on the same Image, Prompt and Masks.

Each room's verb is imported eagerly, because its name is that of the room, too: `edit`, `inpaint`,
`lift`.
"""

from anymask.extras.edit import edit, paste, redraw
from anymask.extras.inpaint import inpaint
from anymask.extras.lift import lift

__all__ = ["edit", "inpaint", "lift", "paste", "redraw"]
