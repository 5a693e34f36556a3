"""The table of models: what each is made of, what it takes, and where its weights come from.

Other packages add models by an entry point of the group ``anymask.models`` (see `anymask.plugins`),
whose name is the model's and which gives a `ModelPlugin`, or a list of them for several names:

    [project.entry-points."anymask.models"]
    their-model = "their_package:MODEL"

Nothing of such a package is imported before one of its models is asked for, or all are listed.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anymask.config import GenerateConfig, InstanceConfig
from anymask.errors import InputError, WeightsError
from anymask.models.config import (
    CompactConfig,
    DecoderConfig,
    EfficientSamConfig,
    EfficientVitConfig,
    FastSamConfig,
    HieraConfig,
    MemoryConfig,
    PlainVitConfig,
    Sam2Config,
    SamConfig,
    SamHqConfig,
    TinyVitConfig,
    VitConfig,
)
from anymask.models.preprocessing import Preprocessing
from anymask.models.variant import Capability, Kind, Variant, WeightSource
from anymask.plugins import load_plugin, plugin_names

if TYPE_CHECKING:
    from collections.abc import Callable
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

_SAM_HQ_HOST = "https://huggingface.co/lkeab/hq-sam/resolve/main"
_MICRO_SAM_HOST = "https://uk1s3.embassy.ebi.ac.uk/public-datasets/bioimage.io"
_VIT_B = VitConfig(width=768, depth=12, heads=12, global_blocks=(2, 5, 8, 11))
_VIT_L = VitConfig(width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23))
_VIT_H = VitConfig(width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31))
_EFFICIENTVIT_SAM_HOST = "https://huggingface.co/mit-han-lab/efficientvit-sam/resolve/main"
_EFFICIENTVIT_XL: dict[str, Any] = {
    "widths": (32, 64, 128, 256, 512, 1024),
    "fused": 3,
    "attentive": 2,
    "window": 3,
    "neck_expansion": 4,
    "input_side": 1024,
}


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


def _slim_sam(percent: int, encoder: VitConfig, parameters: int) -> Variant:
    hub = f"https://huggingface.co/Zigeng/SlimSAM-uniform-{percent}/resolve/main/model.safetensors"
    file = f"slimsam_{percent}_uniform.safetensors"
    return Variant(
        name=f"slimsam-{percent}",
        family="slimsam",
        summary=f"SlimSAM: SAM's ViT-B without {percent} % of its encoder's channels",
        network=SamConfig(encoder),
        preprocessing=Preprocessing(side=encoder.side),
        parameters=parameters,
        capabilities=_ALL,
        weights=WeightSource(file, "Apache-2.0", hub),
        paper=(
            "SlimSAM: 0.1% Data Makes Segment Anything Slim",
            "https://arxiv.org/abs/2312.05284",
        ),
        aliases=(f"slimsam_{percent}_uniform", f"slimsam-uniform-{percent}"),
    )


def _micro_sam(size: str, network: SamConfig, parameters: int, place: str) -> Variant:
    return Variant(
        name=f"micro-sam-{size}",
        family="micro-sam",
        summary="micro-sam: SAM that learned from light microscopy",
        network=network,
        preprocessing=Preprocessing(side=network.encoder.side),
        parameters=parameters,
        capabilities=_ALL,
        weights=WeightSource(f"micro_sam_vit_{size}_lm.pt", "MIT", f"{_MICRO_SAM_HOST}/{place}"),
        paper=("Segment Anything for Microscopy", "https://doi.org/10.1038/s41592-024-02580-4"),
        aliases=(f"micro-sam-vit-{size}-lm", f"vit_{size}_lm"),
    )


def _sam_hq(
    size: str, encoder: VitConfig | TinyVitConfig, early: int, parameters: int, alone: bool
) -> Variant:
    """Describe a SAM-HQ; its file is the same, however it answers."""
    file = f"sam_hq_vit_{size}.pth"
    base = "Light HQ-SAM: MobileSAM" if size == "tiny" else f"SAM-HQ: SAM's ViT-{size.upper()}"
    said = "that mask alone" if alone else "added to SAM's"
    ending = "-only" if alone else ""
    return Variant(
        name=f"sam-hq-vit-{size}{ending}",
        family="sam-hq",
        summary=f"{base} with a mask of finer edges, {said}",
        network=SamHqConfig(encoder, early, alone=alone),
        preprocessing=Preprocessing(side=encoder.side),
        parameters=parameters,
        capabilities=_ALL,
        weights=WeightSource(file, "Apache-2.0", f"{_SAM_HQ_HOST}/{file}"),
        paper=("Segment Anything in High Quality", "https://arxiv.org/abs/2306.01567"),
        aliases=(f"sam_hq_vit_{size}{ending.replace('-', '_')}", f"hq-vit-{size}{ending}"),
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


def _efficientvit_sam(
    size: str, summary: str, encoder: EfficientVitConfig, parameters: int
) -> Variant:
    file = f"efficientvit_sam_{size}.pt"
    return Variant(
        name=f"efficientvit-sam-{size}",
        family="efficientvit-sam",
        summary=summary,
        network=SamConfig(encoder, DecoderConfig(norm_eps=1e-6)),
        preprocessing=Preprocessing(side=encoder.side, encoder_side=encoder.input_side),
        parameters=parameters,
        capabilities=_ALL,
        weights=WeightSource(file, "Apache-2.0", f"{_EFFICIENTVIT_SAM_HOST}/{file}"),
        paper=(
            "EfficientViT-SAM: Accelerated Segment Anything Model Without Performance Loss",
            "https://arxiv.org/abs/2402.05008",
        ),
        aliases=(f"efficientvit_sam_{size}", f"efficientvit-{size}-sam"),
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
            sha256="115798025e1147b9b2dad2c79004e6d3c11df4f4f43238ff0a4c0d66e167fe5b",
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
        _VIT_B,
        parameters=93_735_472,
        sha256="01ec64",
        file_size=375_042_383,
    ),
    _sam(
        "l",
        "SAM with a ViT-L encoder",
        _VIT_L,
        parameters=312_342_832,
        sha256="0b3195",
        file_size=1_249_524_607,
    ),
    _sam(
        "h",
        "SAM with a ViT-H encoder, the most accurate and the slowest of the original three",
        _VIT_H,
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
    *(
        _sam_hq(size, encoder, early, parameters, alone)
        for alone in (False, True)
        for size, encoder, early, parameters in (
            ("tiny", TinyVitConfig(), 1, 10_578_604),
            ("b", _VIT_B, 2, 94_806_576),
            ("l", _VIT_L, 5, 313_676_080),
            ("h", _VIT_H, 7, 642_686_000),
        )
    ),
    Variant(
        name="tinysam",
        family="tinysam",
        summary="TinySAM: MobileSAM's network, taught by SAM's decoder as well, on hard prompts",
        network=SamConfig(TinyVitConfig()),
        preprocessing=Preprocessing(side=1024),
        parameters=10_130_092,
        capabilities=_ALL,
        weights=WeightSource(
            "tinysam.pth",
            "Apache-2.0",
            "https://huggingface.co/xinghaochen/tinysam/resolve/main/tinysam.pth",
        ),
        paper=(
            "TinySAM: Pushing the Envelope for Efficient Segment Anything Model",
            "https://arxiv.org/abs/2312.13789",
        ),
        aliases=("tiny-sam", "tiny_sam"),
    ),
    _slim_sam(
        50,
        VitConfig(width=384, depth=12, heads=12, global_blocks=(2, 5, 8, 11)),
        parameters=27_961_776,
    ),
    _slim_sam(
        77,
        VitConfig(width=168, depth=12, heads=12, global_blocks=(2, 5, 8, 11), mlp=696),
        parameters=9_723_528,
    ),
    Variant(
        name="medsam",
        family="medsam",
        summary="MedSAM: SAM's ViT-B that learned from medical images; boxes only",
        network=SamConfig(_VIT_B),
        preprocessing=Preprocessing(
            side=1024,
            squash=True,
            resize="bicubic",
            enlarge="direct",
            mean=(0, 0, 0),
            std=(1, 1, 1),
            stretch=True,
        ),
        parameters=93_735_472,
        capabilities=frozenset({"box"}),
        weights=WeightSource(
            "medsam_vit_b.pth",
            "Apache-2.0",
            "https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
        ),
        paper=("Segment anything in medical images", "https://doi.org/10.1038/s41467-024-44824-z"),
        aliases=("medsam_vit_b", "medsam-vit-b"),
    ),
    _micro_sam("t", SamConfig(TinyVitConfig()), 10_130_092, "faithful-chicken/1.1/files/vit_t.pt"),
    _micro_sam("b", SamConfig(_VIT_B), 93_735_472, "diplomatic-bug/1.2/files/vit_b.pt"),
    _micro_sam("l", SamConfig(_VIT_L), 312_342_832, "idealistic-rat/1.2/files/vit_l.pt"),
    _efficient_sam("ti", PlainVitConfig(width=192, heads=3), 10_223_204, "efficient_sam_vitt.pt"),
    _efficient_sam(
        "s", PlainVitConfig(width=384, heads=6), 26_413_028, "efficient_sam_vits.pt.zip"
    ),
    _efficientvit_sam(
        "l0",
        "EfficientViT-SAM-L0: convolutions and linear attention, at 512 pixels",
        EfficientVitConfig((1, 1, 1, 4, 4)),
        parameters=34_792_784,
    ),
    _efficientvit_sam(
        "l1",
        "EfficientViT-SAM-L1: deeper than L0",
        EfficientVitConfig((1, 1, 1, 6, 6), neck_depth=8),
        parameters=47_650_128,
    ),
    _efficientvit_sam(
        "l2",
        "EfficientViT-SAM-L2: the deepest at 512 pixels",
        EfficientVitConfig((1, 2, 2, 8, 8), neck_depth=12),
        parameters=61_328_592,
    ),
    _efficientvit_sam(
        "xl0",
        "EfficientViT-SAM-XL0: wider, at 1024 pixels",
        EfficientVitConfig((0, 1, 1, 2, 3, 3), neck_depth=6, **_EFFICIENTVIT_XL),
        parameters=116_957_904,
    ),
    _efficientvit_sam(
        "xl1",
        "EfficientViT-SAM-XL1: the most accurate of its family, by its paper",
        EfficientVitConfig((1, 2, 2, 4, 6, 6), neck_depth=12, **_EFFICIENTVIT_XL),
        parameters=203_346_128,
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
