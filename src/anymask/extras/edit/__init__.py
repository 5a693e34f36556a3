"""Editing: another background or colour for a thing, and drag-in from one image to another.

`change` is the verb `edit`; `recolour` knows colours. `paste` places a cut-out, over `layer`, and
`harmonise` gives it the light of what is around it. `redraw` draws one region anew, under a
ControlNet that sees an `id_map`. `job` does edits for a folder of images.
"""

from anymask.extras.edit.change import EditConfig, edit
from anymask.extras.edit.id_map import id_map, read_id_map, write_id_map
from anymask.extras.edit.paste import PasteConfig, Pasted, paste
from anymask.extras.edit.redraw import load_controlled, redraw

__all__ = [
    "EditConfig",
    "PasteConfig",
    "Pasted",
    "edit",
    "id_map",
    "load_controlled",
    "paste",
    "read_id_map",
    "redraw",
    "write_id_map",
]
