"""Images of masks: an overlay in colours with a legend of what is there, and a cut-out on nothing.

`painting` lays masks over an image or cuts them out, in the colours of `palette`; `legend` and
`prompts` are drawn on top.
"""

from anymask.draw.painting import cutout, overlay

__all__ = ["cutout", "overlay"]
