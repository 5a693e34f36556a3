"""The 23 data sets on which the paper measures clicks (SAM paper, table 7), and how to open them.

``anymask evaluate sets`` lists them. In Python:

    from anymask.data.manifest import MANIFEST, find
    from anymask.data.open import open_dataset

    source = find("PPDLS")
    print(source.licence, source.source, source.files)
    data = open_dataset("Plant_Phenotyping_Datasets", source.layout)

Names, splits and sizes are the paper's. Licences, addresses and layouts are what we could find out;
"unknown" is what we could not. The licences of Hypersim, PIDRay and ZeroWaste-f were read on their
authors' pages, those of DOORS, NDD20 and TimberSeg in a catalogue that quotes them; ask the source
of each set before using it. The paper took sets of more than 15,000 masks in part: images drawn
at random until there were about 10,000 masks. Which images those were was never published.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from anymask.errors import InputError

__all__ = ["MANIFEST", "UNKNOWN", "DataSource", "find", "markdown"]

UNKNOWN = "unknown"


@dataclass(frozen=True)
class DataSource:
    """A public data set, and the part of it that the paper measured."""

    name: str
    """The paper's abbreviation."""
    about: str
    """What is in the images, and what a mask is."""
    split: str
    """The part that the paper drew from."""
    images: int
    """How many images the paper measured."""
    masks: int
    """How many masks the paper measured."""
    licence: str
    """Terms of use."""
    source: str
    """Address of its home page, archive or publication."""
    layout: str | None = None
    """Name for `open_dataset`; None: we have no reader."""
    opens: str = ""
    """What to open, below the folder of the download; several paths have commas between them."""
    note: str = ""
    """What to know before comparing numbers."""

    @property
    def files(self) -> tuple[str, ...]:
        """Patterns of the files below what is opened; empty where we have no reader.

        Examples:
            >>> find("PPDLS").files
            ('**/*_rgb.png', '**/*_label.png')
        """
        from anymask.data.open import LAYOUTS  # here, because it loads all readers

        if self.layout in LAYOUTS:
            return LAYOUTS[self.layout].parts
        return () if self.layout is None else ("one JSON file beside its images",)


MANIFEST = (
    DataSource(
        *("ADE20K", "scenes: objects and their parts", "validation", 302, 10128),
        "non-commercial research and education; annotations BSD-3-Clause",
        "https://groups.csail.mit.edu/vision/datasets/ADE20K/",
        *("ade20k", "ADE20K_2016_07_26/images/validation"),
        "the benchmark's class maps (ade20k-scenes) have neither objects nor parts",
    ),
    DataSource(
        *("BBBC038v1", "microscopy: cell nuclei", "train", 227, 10506),
        "CC0",
        "https://bbbc.broadinstitute.org/BBBC038",
        *("dsb2018", "stage1_train"),
    ),
    DataSource(
        *("Cityscapes", "street scenes: things and stuff", "validation", 293, 9973),
        "non-commercial, on registration",
        "https://www.cityscapes-dataset.com",
        *("cityscapes-panoptic", "cityscapes"),
        "keep val alone in both folders; the layout cityscapes reads things without stuff",
    ),
    DataSource(
        *("DOORS", "rendered boulders, one in each image", "DS1", 10000, 10000),
        "CC BY 4.0",
        "https://doi.org/10.5281/zenodo.7107409",
        *("doors", "Regression/Te1_..., Regression/Te2_..."),
        "these two have 5,000 images each; which images the paper took is unknown",
    ),
    DataSource(
        *("DRAM", "paintings: regions of a class", "test", 718, 1179),
        UNKNOWN,
        "https://faculty.runi.ac.il/arik/site/artseg/Dram-Dataset.html",
        *("dram", "DRAM_processed"),
        "all of a class is one mask",
    ),
    DataSource(
        *("EgoHOS", "egocentric: hands and what they hold", "train: Ego4D, THU-READ", 2940, 9961),
        UNKNOWN,
        "https://github.com/owenzlz/EgoHOS",
        *("egohos", "train"),
        "holds images of other sources, too: keep those of the two",
    ),
    DataSource(
        *("GTEA", "egocentric: hands", "train", 652, 1208),
        UNKNOWN,
        "https://cbs.ic.gatech.edu/fpv/",
        *("gtea", "GTEA_GAZE_PLUS"),
        "we take both hands for one mask; the paper has more masks than images, how is unknown",
    ),
    DataSource(
        *("Hypersim", "rendered rooms: objects", "volumes 1-55 without 20, 25, 40, 49", 338, 9445),
        "CC BY-SA 3.0",
        "https://github.com/apple/ml-hypersim",
        note="masks are in HDF5 files, frame.*.semantic_instance.hdf5; save them as label maps",
    ),
    DataSource(
        *("IBD", "from drones: roofs", "train, 2D annotations", 467, 11953),
        UNKNOWN,
        UNKNOWN,
        note="layout unknown; the paper's InstanceBuilding 2D",
    ),
    DataSource(
        *("iShape", "irregular shapes: antennas, logs, fences, hangers", "validation", 754, 9742),
        "CC0",
        "https://ishape.github.io",
        *("ishape", "ishape_dataset/<shape>/val"),
        "one folder for each shape; COCO JSON is in the download, too",
    ),
    DataSource(
        *("LVIS", "scenes: objects of many categories", "validation, v0.5", 945, 9642),
        "annotations CC BY 4.0, photos under their Flickr terms",
        "https://www.lvisdataset.org",
        *("coco", "lvis_v0.5_val.json"),
    ),
    DataSource(
        *("NDD20", "dolphins above and under water", "all", 4402, 6100),
        "CC BY-NC-SA 4.0",
        "https://arxiv.org/abs/2005.13359",
        *("via", "ABOVE_LABELS.json, BELOW_LABELS.json"),
    ),
    DataSource(
        *("NDISPark", "parking lots by day and night: vehicles", "train", 111, 2577),
        UNKNOWN,
        "https://doi.org/10.5281/zenodo.6560823",
        *("coco", "train/train_coco_annotations.json"),
        "112 images, one of them without a mask",
    ),
    DataSource(
        *("OVIS", "videos: objects that hide each other", "train", 2044, 10011),
        "CC BY-NC-SA 4.0",
        "https://songbai.site/ovis",
        *("coco", "annotations_train.json"),
        "frames count as images",
    ),
    DataSource(
        *("PIDRay", "X-rays of baggage: prohibited items", "test, hard", 3733, 8892),
        "academic use only",
        "https://github.com/bywang2018/security-dataset",
        *("coco", "annotations/xray_test_hard.json"),
    ),
    DataSource(
        *("Plittersdorf", "stereo camera traps: wildlife", "train, val, test", 187, 546),
        UNKNOWN,
        "https://timm.haucke.xyz/datasets/plittersdorf",
        *("coco", "train.json, val.json, test.json"),
    ),
    DataSource(
        *("PPDLS", "plants from above: leaves", "all", 182, 2347),
        UNKNOWN,
        "https://www.plant-phenotyping.org/datasets-home",
        *("ppdls", "Plant_Phenotyping_Datasets"),
        "images of tobacco and ara plants",
    ),
    DataSource(
        *("STREETS", "traffic cameras: cars", "all", 819, 9854),
        UNKNOWN,
        "https://databank.illinois.edu/datasets/IDB-3671567",
        *("coco", "vehicleannotations/annotations/vehicle-annotations.json"),
        "the paper's authors name vehicleannotations.zip as what they used",
    ),
    DataSource(
        *("TimberSeg", "piles of timber: logs", "all", 220, 2487),
        "CC BY 4.0",
        "https://data.mendeley.com/datasets/y5npsm3gkj",
        *("coco", "prescaled/coco_annotation_rotated.json"),
        "prescaled or original images: unknown",
    ),
    DataSource(
        *("TrashCan", "from underwater robots: trash", "train, instance task", 5936, 9540),
        "academic teaching and research; commercial use needs JAMSTEC's permission",
        "https://hdl.handle.net/11299/214865",
        *("coco", "instance_version/instances_train_trashcan.json"),
    ),
    DataSource(
        *("VISOR", "egocentric kitchens: hands and objects", "validation", 1864, 10141),
        "CC BY-NC 4.0",
        "https://epic-kitchens.github.io/VISOR",
        *("visor", "GroundTruth-SparseAnnotations"),
        "unzip the frames, and leave the annotations of other splits out",
    ),
    DataSource(
        *("WoodScape", "fisheye cameras of cars: all kinds of things", "set 1", 107, 10266),
        "its repository says MIT; of the images: unknown",
        "https://github.com/valeoai/WoodScape",
        *("woodscape", "WoodScape"),
        "what set 1 is, is unknown",
    ),
    DataSource(
        *("ZeroWaste-f", "clutter on a conveyor belt: recycling waste", "train", 2947, 6155),
        "CC BY-NC 4.0",
        "https://doi.org/10.5281/zenodo.6412647",
        *("coco", "splits_final_deblurred/train/labels.json"),
    ),
)
"""In alphabetical order."""


def find(name: str) -> DataSource:
    """Find a data set by its name, in upper or lower case.

    Raises:
        InputError: There is none of this name.

    Examples:
        >>> find("lvis").layout
        'coco'
    """
    for row in MANIFEST:
        if row.name.casefold() == name.casefold():
            return row
    known = [row.name for row in MANIFEST]
    near = get_close_matches(name.casefold(), map(str.casefold, known), 1)
    meant = next((each for each in known if [each.casefold()] == near), None)
    hint = f"did you mean {meant!r}?" if meant else f"name one out of {', '.join(known)}"
    raise InputError(f"expected the name of a data set, got {name!r}; {hint}")


def markdown() -> str:
    """Lay the manifest out as a table of Markdown."""
    header = "| set | what | split | images | masks | licence | open | layout | note |"
    rules = "| --- | --- | --- | ---: | ---: | --- | --- | --- | --- |"
    return "\n".join([header, rules, *map(_row, MANIFEST)]) + "\n"


def _row(row: DataSource) -> str:
    name = row.name if row.source == UNKNOWN else f"[{row.name}]({row.source})"
    opens = ", ".join(f"`{path}`" for path in row.opens.split(", ") if path)
    layout = f"`{row.layout}`" if row.layout else ""
    sizes = f"{row.images:,}", f"{row.masks:,}"
    cells = (name, row.about, row.split, *sizes, row.licence, opens, layout, row.note)
    return "| " + " | ".join(cell or "-" for cell in cells) + " |"
