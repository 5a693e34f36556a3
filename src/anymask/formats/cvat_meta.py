"""What a file of CVAT says of its task: the labels with their colours and attributes, and the rest.

Elements are kept as plain values: text, a dict of children, or a list of such where a name repeats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from anymask.draw.palette import colours_of_labels
from anymask.errors import InputError
from anymask.formats.classes import UNLABELLED
from anymask.formats.xml_stream import writable

__all__ = ["Meta", "read_meta"]

_KINDS = ("task", "project", "job")


def read_meta(element: Element) -> dict[str, Any]:
    """Read ``<meta>``: ``labels``, a list, and the rest as plain values."""
    about: dict[str, Any] = {}
    for child in element:
        value = _plain(child)
        if child.tag in _KINDS and isinstance(value, dict):
            labels = value.pop("labels", None)
            entries = labels.get("label", []) if isinstance(labels, dict) else []
            entries = entries if isinstance(entries, list) else [entries]
            about["labels"] = [entry for entry in entries if isinstance(entry, dict)]
        about[child.tag] = value
    about.pop("dumped", None)  # when the file was written, which the next one was not
    return about


def _plain(element: Element) -> Any:
    if not len(element):
        return (element.text or "").strip("\n ")
    found: dict[str, Any] = {}
    for child in element:
        value = _plain(child)
        if child.tag in found:
            before = found[child.tag]
            found[child.tag] = [*(before if isinstance(before, list) else [before]), value]
        else:
            found[child.tag] = value
    return found


class Meta:
    """The labels of a file that is written, and what is said of its task.

    Args:
        names: Labels that come first.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._labels: dict[str, dict[str, Any]] = {}
        self._attributes: dict[str, dict[str, set[str]]] = {}
        self._about: dict[str, Any] = {}
        for name in names:
            self.label(name)

    def add(self, about: object) -> None:
        """Take in what `read_meta` gave; of what is said twice, the first word counts."""
        if not isinstance(about, Mapping):
            return
        for record in about.get("labels") or ():
            if isinstance(record, Mapping) and isinstance(record.get("name"), str):
                known = self._labels.setdefault(record["name"], dict(record))
                known |= {key: value for key, value in record.items() if not known.get(key)}
        for key in _KINDS:
            if isinstance(about.get(key), Mapping) and not self._about:
                self._about[key] = dict(about[key])

    def label(self, name: str | None, attributes: Mapping[str, str] | None = None) -> str:
        """Give the name of a mask's label, which the file will list, and its attributes."""
        shown = UNLABELLED if name is None else name
        self._labels.setdefault(shown, {"name": shown})
        for key, value in (attributes or {}).items():
            self._attributes.setdefault(shown, {}).setdefault(key, set()).add(value)
        return shown

    def element(self, images: int) -> Element:
        """Write ``<meta>`` of a file of so many images."""
        root = Element("meta")
        kind, task = next(iter(self._about.items()), ("task", {"name": "anymask"}))
        task = {**task, "size": str(images), "mode": "annotation"}
        task = task if kind == "task" else {k: v for k, v in task.items() if k != "mode"}
        top = _element(root, kind, task)
        labels = ElementTree.SubElement(top, "labels")
        colours = colours_of_labels(self._labels)
        for name, record in self._labels.items():
            red, green, blue = colours[name]
            colour = record.get("color") or f"#{red:02x}{green:02x}{blue:02x}"
            rest = {key: value for key, value in record.items() if key != "attributes"}
            kind = rest.get("type") or "any"
            label = _element(labels, "label", {**rest, "color": colour, "type": kind})
            self._write_attributes(label, name, record.get("attributes"))
        return root

    def _write_attributes(self, label: Element, name: str, said: object) -> None:
        """Write the attributes of a label: those that were read, then those that masks have."""
        entries = said.get("attribute", []) if isinstance(said, Mapping) else []
        entries = entries if isinstance(entries, list | tuple) else [entries]
        known = [entry for entry in entries if isinstance(entry, Mapping)]
        used = self._attributes.get(name, {})
        listed = {entry.get("name") for entry in known}
        new = [
            {
                "name": key,
                "mutable": "False",
                "input_type": "select",
                "default_value": min(values),
                "values": "\n".join(sorted(values)),
            }
            for key, values in used.items()
            if key not in listed
        ]
        place = ElementTree.SubElement(label, "attributes")
        for entry in [*known, *new]:
            _element(place, "attribute", entry)


def _element(parent: Element, tag: str, value: Any) -> Element:
    """Write what `_plain` reads."""
    element = ElementTree.SubElement(parent, tag)
    if not isinstance(value, Mapping):
        element.text = writable("" if value is None else str(value))
        return element
    for name, child in value.items():
        if not (isinstance(name, str) and name.isidentifier()):
            raise InputError(
                f"expected names of elements in what is known of the task, got {name!r}; take it "
                "out of image_meta['cvat']"
            )
        for each in child if isinstance(child, list | tuple) else [child]:
            _element(element, name, each)
    return element
