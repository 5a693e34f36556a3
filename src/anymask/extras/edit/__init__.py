"""Editing: another background or colour for a thing, and drag-in from one image to another.

`change` is the verb `edit`; `recolour` knows colours. `paste` places a cut-out, over `layer`, and
`harmonise` gives it the light of what is around it. `job` does edits for a folder of images.
"""

from anymask.extras.edit.change import EditConfig, edit
from anymask.extras.edit.paste import PasteConfig, Pasted, paste

__all__ = ["EditConfig", "PasteConfig", "Pasted", "edit", "paste"]
