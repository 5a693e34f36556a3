"""The table of models: what each is made of, what it takes, and where its weights come from.

Other packages add models by an entry point of the group ``anymask.models`` (see `anymask.plugins`),
whose name is the model's and which gives a `ModelPlugin`, or a list of them for several names:

    [project.entry-points."anymask.models"]
    their-model = "their_package:MODEL"

Nothing of such a package is imported before one of its models is asked for, or all are listed.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from anymask.config import GenerateConfig, InstanceConfig
from anymask.errors import CapabilityError, InputError, WeightsError
from anymask.models.config import (
    CompactConfig,
    EfficientSamConfig,
    FastSamConfig,
    HieraConfig,
    MemoryConfig,
    PlainVitConfig,
    Sam2Config,
    SamConfig,
    TinyVitConfig,
    VitConfig,
)
from anymask.models.preprocessing import Preprocessing
from anymask.plugins import load_plugin, plugin_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import torch

    from anymask.models.network import Network

__all__ = [
    "VARIANTS",
    "Capability",
    "Kind",
    "ModelPlugin",
    "Preprocessing",
    "Variant",
    "WeightSource",
    "all_variants",
    "find",
    "find_plugin",
]

Capability = Literal["points", "negative_points", "box", "mask", "text", "multimask", "nothing"]
Kind = Literal["promptable", "instances"]


@dataclass(frozen=True)
class WeightSource:
    """Where weights come from, and how to recognise them."""

    file: str
    """File name, in the package's ``models/bundled`` or in the cache folder; or a whole path."""
    licence: str
    """SPDX name of the licence of the weights."""
    url: str | None = None
    """Public address; ``None`` for weights that ship inside the package."""
    sha256: str | None = None
    """SHA-256 of the file in hex, or the leading part of it that was published."""
    size: int | None = None
    """Bytes of the file."""


@dataclass(frozen=True)
class Variant:
    """One row of the table of models."""

    name: str
    """What `load` and the command line call it."""
    family: str
    """Models of one family share their code."""
    summary: str
    """One line for people who choose."""
    network: SamConfig | Sam2Config | EfficientSamConfig | FastSamConfig | CompactConfig | None
    """Architecture numbers; their class decides which network is built. None: another package's."""
    preprocessing: Preprocessing
    """How an image becomes the network's input."""
    parameters: int
    """Number of learned values."""
    capabilities: frozenset[Capability]
    """Prompts and answers that the model knows."""
    weights: WeightSource
    """Where the weights come from."""
    paper: tuple[str, str] | None = None
    """Title and address of the publication."""
    aliases: tuple[str, ...] = ()
    """Other names that mean this variant."""
    kind: Kind = "promptable"
    """Its decoder answers each prompt; or it finds all instances at once, and prompts select."""
    generate: GenerateConfig | InstanceConfig = field(default_factory=GenerateConfig)
    """What everything mode looks for and drops, unless told otherwise."""
    never_alone: frozenset[Capability] = frozenset()
    """Prompts that it understands only beside a point on the object, a box or a text.

    A mask among them is completed by what it implies; background points are refused.
    """
    always_three: bool = False
    """Three answers to every prompt unless told otherwise, not only to a single point."""

    def __post_init__(self) -> None:
        """Check that the settings are those of its kind, and that there is something to load."""
        if not isinstance(self.weights, WeightSource):
            raise WeightsError(
                f"expected a WeightSource as the weights of {self.name}, got {self.weights!r}; for "
                "a model without a weight file, such as a service, name a file of its package"
            )
        wanted = _SETTINGS.get(self.kind)
        if wanted is None:
            kinds = " or ".join(_SETTINGS)
            raise WeightsError(
                f"expected {self.name} to be of the kind {kinds}, got {self.kind!r}; correct it"
            )
        if not isinstance(self.generate, wanted):
            raise WeightsError(
                f"expected {wanted.__name__} as the settings of {self.name}, which is of the kind "
                f"{self.kind!r}, got {type(self.generate).__name__}; correct one of the two"
            )

    @property
    def max_points(self) -> int | None:
        """Points that one prompt may have, a box counting as two; None: any number."""
        return getattr(self.network, "max_points", None)

    @property
    def remembers(self) -> bool:
        """Whether its network has a memory for clips, by which it follows things."""
        return getattr(self.network, "memory", None) is not None

    @property
    def takes_words(self) -> bool:
        """Whether it cuts out what words name: from the boxes of a grounder, or by itself."""
        return not self.capabilities.isdisjoint({"box", "text"})

    def unprompted(self) -> Variant:
        """Describe the same model after it learned to find one kind of thing, and is not asked."""
        return replace(self, capabilities=frozenset({"nothing"}), always_three=False)

    def check_capable(self, needs: Iterable[str]) -> None:
        """Check that the model knows all that is needed, such as `Prompt.required_capabilities`.

        Raises:
            CapabilityError: It does not.
        """
        for need in needs:
            if need not in self.capabilities:
                known = ", ".join(_WORDS[c] for c in _WORDS if c in self.capabilities)
                raise CapabilityError(
                    f"{self.name} does not know {_WORDS[need]}, only {known}; "
                    "ask in another way or load another model"
                )


@dataclass(frozen=True)
class ModelPlugin:
    """A model of another package.

    Examples:
        >>> plugin = ModelPlugin(variant, open=lambda path, device, dtype: Session(path, device))
        ... # doctest: +SKIP
    """

    variant: Variant
    """Its row of the table; ``network`` is None, and ``weights.file`` may be a whole path.

    A model without weights of its own, such as a service, names a file of its package, such as
    ``__file__``: embeddings of another version of that file are not taken for its own.
    """
    open: Callable[[Path, torch.device, torch.dtype], Network]
    """Makes the network of the path of the weights, for a device and a floating-point dtype."""


_SETTINGS = {"promptable": GenerateConfig, "instances": InstanceConfig}

_WORDS = {
    "points": "points",
    "negative_points": "background points (label 0)",
    "box": "boxes",
    "mask": "masks as prompts",
    "text": "text",
    "multimask": "three answers to one prompt (multimask)",
    "nothing": "images without a prompt",
}


_ALL: frozenset[Capability] = frozenset({"points", "negative_points", "box", "mask", "multimask"})
_SAM_PAPER = ("Segment Anything", "https://arxiv.org/abs/2304.02643")
_SAM_HOST = "https://dl.fbaipublicfiles.com/segment_anything"
_SAM2_PAPER = (
    "SAM 2: Segment Anything in Images and Videos",
    "https://arxiv.org/abs/2408.00714",
)
_SAM2_HOST = "https://dl.fbaipublicfiles.com/segment_anything_2"
_EFFICIENT_SAM_PAPER = (
    "EfficientSAM: Leveraged Masked Image Pretraining for Efficient Segment Anything",
    "https://arxiv.org/abs/2312.00863",
)
_EFFICIENT_SAM_HOST = "https://github.com/yformer/EfficientSAM/raw/main/weights"


def _sam(
    size: str, summary: str, encoder: VitConfig, parameters: int, sha256: str, file_size: int
) -> Variant:
    file = f"sam_vit_{size}_{sha256}.pth"
    return Variant(
        name=f"sam-vit-{size}",
        family="sam",
        summary=summary,
        network=SamConfig(encoder),
        preprocessing=Preprocessing(side=encoder.side),
        parameters=parameters,
        capabilities=_ALL,
        weights=WeightSource(file, "Apache-2.0", f"{_SAM_HOST}/{file}", sha256, file_size),
        paper=_SAM_PAPER,
        aliases=(f"sam_vit_{size}", f"vit_{size}"),
    )


def _efficient_sam(size: str, encoder: PlainVitConfig, parameters: int, file: str) -> Variant:
    return Variant(
        name=f"efficient-sam-{size}",
        family="efficient-sam",
        summary=f"EfficientSAM-{size.title()}: points on the object and boxes, six points at most",
        network=EfficientSamConfig(encoder),
        preprocessing=Preprocessing(
            side=encoder.side, squash=True, resize="bilinear", enlarge="bicubic"
        ),
        parameters=parameters,
        capabilities=frozenset({"points", "box", "multimask"}),
        weights=WeightSource(file, "Apache-2.0", f"{_EFFICIENT_SAM_HOST}/{file}"),
        paper=_EFFICIENT_SAM_PAPER,
        aliases=(f"efficient_sam_vit{size[0]}", f"efficient_sam_{size}", f"efficientsam-{size}"),
        # As its authors use it: their examples never ask for the one answer.
        generate=GenerateConfig(pred_iou_thresh=0.7, stability_score_thresh=0.9),
        always_three=True,
    )


_BEFORE_2_1 = {
    "occlusion_vector": False,
    "pointer_times": False,
    "pointer_projection": False,
    "signed_times": False,
}


def _sam2(version: str, size: str, summary: str, encoder: HieraConfig, parameters: int) -> Variant:
    new, own = version == "2.1", size.replace("-", "_")
    file = f"sam{version if new else '2'}_hiera_{own}.pt"
    memory = MemoryConfig() if new else MemoryConfig(**_BEFORE_2_1)
    return Variant(
        name=f"sam{version if new else '2'}-{size}",
        family=f"sam{version if new else '2'}",
        summary=summary,
        network=Sam2Config(encoder, memory=memory),
        preprocessing=Preprocessing(
            side=encoder.side,
            squash=True,
            resize="antialias-float",
            enlarge="direct",
            clamp=32.0,
        ),
        parameters=parameters,
        capabilities=_ALL,
        weights=WeightSource(
            file, "Apache-2.0", f"{_SAM2_HOST}/{'092824' if new else '072824'}/{file}"
        ),
        paper=_SAM2_PAPER,
        aliases=(
            file.removesuffix(".pt"),
            f"sam{version if new else '2'}-hiera-{size}",
            *(() if new else (f"sam2.0-{size}",)),
        ),
        generate=GenerateConfig(pred_iou_thresh=0.8),
    )


def _fast_sam(
    size: str, summary: str, network: FastSamConfig, parameters: int, weights: WeightSource
) -> Variant:
    return Variant(
        name=f"fastsam-{size}",
        family="fastsam",
        summary=summary,
        network=network,
        preprocessing=Preprocessing(
            side=1024,
            pad=32,
            centre=True,
            fill=114,
            resize="opencv",
            mean=(0, 0, 0),
            std=(255, 255, 255),
        ),
        parameters=parameters,
        capabilities=frozenset({"points", "negative_points", "box", "text", "multimask"}),
        weights=weights,
        paper=("Fast Segment Anything", "https://arxiv.org/abs/2306.12156"),
        aliases=(f"fastsam_{size}", f"fast-sam-{size}"),
        never_alone=frozenset({"negative_points"}),
        kind="instances",
        generate=InstanceConfig(),
    )


_SAM2_SIZES = (
    (
        "tiny",
        "Hiera-T encoder, the smallest; images, and clips with a memory",
        HieraConfig(depths=(1, 2, 7, 2), global_blocks=(5, 7, 9)),
        38_962_498,
    ),
    (
        "small",
        "Hiera-S encoder; images, and clips with a memory",
        HieraConfig(depths=(1, 2, 11, 2), global_blocks=(7, 10, 13)),
        46_060_354,
    ),
    (
        "base-plus",
        "Hiera-B+ encoder; images, and clips with a memory",
        HieraConfig((2, 3, 16, 3), (12, 16, 20), width=112, heads=2, trained_grid=14),
        80_850_178,
    ),
    (
        "large",
        "Hiera-L encoder, the largest; images, and clips with a memory",
        HieraConfig((2, 6, 36, 4), (23, 33, 43), width=144, heads=2, windows=(8, 4, 16, 8)),
        224_446_642,
    ),
)

VARIANTS: tuple[Variant, ...] = (
    Variant(
        name="anymask-compact",
        family="compact",
        summary="our own small model, in the package; trained on research photos, see its card",
        network=CompactConfig(),
        preprocessing=Preprocessing(side=512, pad=32),
        parameters=6_837_898,
        capabilities=_ALL,
        weights=WeightSource(
            "anymask-compact.safetensors",
            "Apache-2.0",
            sha256="73c546f3f703c07d1190c237a3bddd55b41e04956fd06243e60759b6cec963bb",
            size=13_727_180,
        ),
        aliases=("bundled", "compact"),
        # It has learned of a mask alone, but does better with what that implies; and every prompt
        # that it has learned from had something on the object.
        never_alone=frozenset({"mask", "negative_points"}),
        # Its scores and its logits are more modest than SAM's, and change with the weights: the two
        # thresholds are loose, and what goes is far from the image's best (tune_everything.py).
        generate=GenerateConfig(
            points_per_side=24,
            thing_boxes=40,
            pred_iou_thresh=0.2,
            stability_score_thresh=0.3,
            stability_score_offset=0.5,
            ranking="outline",
            ranking_thresh=0.5,
            box_nms_thresh=0.9,
            mask_nms_thresh=0.7,
        ),
    ),
    _sam(
        "b",
        "SAM with a ViT-B encoder, the smallest of the original three",
        VitConfig(width=768, depth=12, heads=12, global_blocks=(2, 5, 8, 11)),
        parameters=93_735_472,
        sha256="01ec64",
        file_size=375_042_383,
    ),
    _sam(
        "l",
        "SAM with a ViT-L encoder",
        VitConfig(width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)),
        parameters=312_342_832,
        sha256="0b3195",
        file_size=1_249_524_607,
    ),
    _sam(
        "h",
        "SAM with a ViT-H encoder, the most accurate and the slowest of the original three",
        VitConfig(width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)),
        parameters=641_090_608,
        sha256="4b8939",
        file_size=2_564_550_879,
    ),
    Variant(
        name="mobile-sam",
        family="mobile-sam",
        summary="MobileSAM: SAM with a TinyViT encoder, which learned from ViT-H's embeddings",
        network=SamConfig(TinyVitConfig()),
        preprocessing=Preprocessing(side=1024),
        parameters=10_130_092,
        capabilities=_ALL,
        weights=WeightSource(
            "mobile_sam.pt",
            "Apache-2.0",
            "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
            sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
            size=40_728_226,
        ),
        paper=(
            "Faster Segment Anything: Towards Lightweight SAM for Mobile Applications",
            "https://arxiv.org/abs/2306.14289",
        ),
        aliases=("mobile_sam", "mobilesam", "vit_t"),
    ),
    *(
        _sam2(
            version, size, f"{name}: {said}", encoder, count - (0 if version == "2.1" else 16_512)
        )
        for version, name in (("2.1", "SAM 2.1"), ("2.0", "SAM 2"))
        for size, said, encoder, count in _SAM2_SIZES
    ),
    _efficient_sam("ti", PlainVitConfig(width=192, heads=3), 10_223_204, "efficient_sam_vitt.pt"),
    _efficient_sam(
        "s", PlainVitConfig(width=384, heads=6), 26_413_028, "efficient_sam_vits.pt.zip"
    ),
    _fast_sam(
        "s",
        "FastSAM, small: finds everything at once, and prompts choose from that",
        FastSamConfig(widths=(32, 64, 128, 256, 512), depths=(1, 2, 2, 1), neck_depth=1),
        parameters=11_790_483,
        weights=WeightSource(
            "FastSAM-s.pt",
            "AGPL-3.0",
            "https://github.com/ultralytics/assets/releases/download/v8.3.0/FastSAM-s.pt",
        ),
    ),
    _fast_sam(
        "x",
        "FastSAM, large: the one that its paper measures",
        FastSamConfig(widths=(80, 160, 320, 640, 640), depths=(3, 6, 6, 3), neck_depth=3, bins=26),
        parameters=72_234_149,
        weights=WeightSource(
            "FastSAM-x.pt",
            "AGPL-3.0",
            "https://huggingface.co/spaces/An-619/FastSAM/resolve/main/weights/FastSAM.pt",
            sha256="c0be4e7ddbe4c15333d15a859c676d053c486d0a746a3be6a7a9790d52a9b6d7",
            size=144_943_063,
        ),
    ),
)


def all_variants() -> tuple[Variant, ...]:
    """List the table, and behind it the models of other packages, which are imported for it.

    Raises:
        InputError: One of those packages cannot be imported, or gives no `ModelPlugin`.
    """
    found = [plugin.variant for own in plugin_names("models") if (plugin := find_plugin(own))]
    return (*VARIANTS, *found)


def find(name: str) -> Variant:
    """Look up a variant by its name or alias, in any case.

    Examples:
        >>> find("sam-vit-b").parameters
        93735472

    Raises:
        WeightsError: No variant has that name; the message suggests the nearest ones.
        InputError: The package that adds a model of that name does not give one.
    """
    by_name = {known: v for v in VARIANTS for known in (v.name, *v.aliases)}
    variant = by_name.get(name.lower())
    if variant is not None:
        return variant
    plugin = find_plugin(name)
    if plugin is not None:
        return plugin.variant
    names = {known: v.name for known, v in by_name.items()}
    names |= {other.lower(): other for other in plugin_names("models")}
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    suggested = dict.fromkeys([names[known] for known in near] or names.values())
    raise WeightsError(
        f"expected the name of a model or an existing file of weights, got {name!r}; "
        f"try {' or '.join(suggested)}"
    )


def find_plugin(name: str) -> ModelPlugin | None:
    """Import the model that another package adds under a name, in any case; None: there is none.

    Raises:
        InputError: The package cannot be imported, or gives something else.
    """
    known = next((own for own in plugin_names("models") if own.lower() == name.lower()), None)
    if known is None:
        return None
    given = load_plugin("models", known)
    plugins: list[Any] = list(given) if isinstance(given, list | tuple) else [given]
    for plugin in plugins:
        if not isinstance(plugin, ModelPlugin):
            raise InputError(
                f"expected a ModelPlugin or a list of them from the package that adds {known!r} to "
                f"anymask.models, got a {type(plugin).__name__}; update or uninstall that package"
            )
        if plugin.variant.name == known:
            return plugin
    names = ", ".join(other.variant.name for other in plugins) or "none"
    raise InputError(
        f"expected a model called {known!r} from the package that adds it to anymask.models, got "
        f"{names}; update or uninstall that package"
    )
