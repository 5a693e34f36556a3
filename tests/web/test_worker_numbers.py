"""What the page's worker works out by itself is what the library works out, number by number.

web/tests/worker.json is written by ``python tests/web/test_worker_numbers.py`` and read by the
tests of the page's parts in Node; here it is compared with the library as it is now.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from anymask.export.browser import packed, unpacked
from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.masks.enlarge import enlarged_counts
from anymask.masks.matting import soften
from anymask.models import onnx_file
from anymask.models.variants import find
from anymask.models.vocabulary import as_table, labels_of
from anymask.predict.implied import complete, deepest_points, weighed
from anymask.prompt import Prompt
from anymask.text.phrases import parse

GOLDENS = Path(__file__).resolve().parents[2] / "web" / "tests" / "worker.json"
SEEN = ("bundled", "sam2.1-tiny", "efficient-sam-ti", "medsam", "efficientvit-sam-l0")
TEXTS = ("the Cups. dog", "A person, two mice and my bikes", "Wine bottles / berries", "zebra")


def text_of(values: Any) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def numbers() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "resize": [resized(rng, *case) for case in (((17, 23), (8, 11)), ((9, 7), (20, 7)))],
        "frames": [framed(rng, name) for name in SEEN],
        "masks": [
            masks(rng, *sizes)
            for sizes in (
                ((90, 70), 64, 32, "bilinear"),
                ((40, 60), 64, "square", "bilinear"),
                ((40, 60), 64, "square", "direct"),
            )
        ],
        "rough": rough(),
        "soft": [softened(*size) for size in ((60, 80), (300, 720))],
        "weights": weights(rng),
        "decoders": [decoder(frame) for frame in FRAMES_HW],
        "words": {
            "vocabulary": as_table(),
            "texts": {text: list(parse(text)) for text in TEXTS},
            "labels": {one: list(labels_of(one)) for text in TEXTS for one in parse(text)},
        },
    }


def resized(rng: Any, size: tuple[int, int], to: tuple[int, int]) -> dict[str, Any]:
    pixels = rng.integers(0, 256, (*size, 3), np.uint8)
    made = PIL.Image.fromarray(pixels).resize(to[::-1], PIL.Image.Resampling.BILINEAR)
    return {"size": size, "to": to, "pixels": text_of(pixels), "made": text_of(np.asarray(made))}


def framed(rng: Any, name: str) -> dict[str, Any]:
    from dataclasses import asdict, replace

    known = find(name).preprocessing
    small = 24 if known.encoder_side is not None else None
    wanted = replace(known, side=32, encoder_side=small)
    # A square where bytes are squashed: which direction Pillow takes first is its own affair.
    width = 40 if known.resize == "bicubic" else 30
    image = Image.open(rng.integers(0, 256, (40, width, 3), np.uint8))
    own = wanted.for_encoder
    way = own.fit(image.size_hw)
    frame = own.frames(way.resize(image, own.resize)[None], way, "cpu")
    return {
        "preprocessing": asdict(wanted),
        "size": image.size_hw,
        "pixels": text_of(image.pixels),
        "frame": [*frame.shape[2:]],
        "made": text_of(np.float32(frame)),
    }


def masks(rng: Any, size: tuple[int, int], side: int, pad: Any, enlarge: Any) -> dict[str, Any]:
    squash = enlarge == "direct"
    way = Transform.fit(size, side=side, pad=pad, squash=squash, enlarge=enlarge)
    low = way.frame_hw[0] // 2, way.frame_hw[1] // 2
    y, x = np.mgrid[: low[0], : low[1]]
    logits = np.float32(8 - np.hypot(y - low[0] / 2, x - low[1] / 3) + rng.normal(0, 1, low))
    large = way.masks_to_image(logits)
    return {
        "size": size,
        "side": side,
        "pad": pad,
        "enlarge": enlarge,
        "low": low,
        "logits": text_of(logits),
        "counts": enlarged_counts([logits], way)[0].tolist(),
        "stability": float((large > 0.5).sum() / (large > -0.5).sum()),
    }


def softened(h: int, w: int) -> dict[str, Any]:
    """A disc on a ground, both patterned by a formula that the tests in Node have, too."""
    y, x = np.mgrid[:h, :w]
    channel = np.arange(3)
    away = (x - w // 2) ** 2 + (y - h // 2) ** 2
    texture = (7 * x[..., None] + 3 * y[..., None] + 50 * channel) % 24
    share = np.clip((h // 3) ** 2 + 4 * h - away, 0, 8 * h)[..., None] // h  # 0 to 8
    pixels = (share * (180 + texture) + (8 - share) * (30 + 2 * texture)) // 8
    found = soften(pixels.astype(np.uint8), away < (h // 3) ** 2)
    step = 7 if h > 100 else 2
    return {
        "size": [h, w],
        "step": step,
        "alpha": text_of(found.alpha[::step, ::step]),
        "colours": text_of(found.colours[::step, ::step]),
    }


def rough() -> dict[str, Any]:
    way = Transform.fit((60, 80), side=64, pad=32)
    low = way.frame_hw[0] // 2, way.frame_hw[1] // 2
    mask = np.zeros((60, 80), bool)
    mask[10:50, 8:40] = True
    mask[20:30, 40:70] = True
    prompt = complete(Prompt(mask=mask), way, low)
    fed = way.masks_to_frame(mask, low)
    logits = np.float32(np.linspace(-9, 9, low[0] * low[1])).reshape(1, *low)
    return {
        "low": low,
        "mask": text_of(mask.astype(np.uint8)),
        "fed": text_of(fed),
        "points": [
            [*xy, int(one)]
            for xy, one in zip(prompt.points_xy.tolist(), prompt.labels, strict=True)
        ],
        "box": prompt.box.tolist(),
        "deepest": deepest_points(mask, 4).tolist(),
        "logits": text_of(logits),
        "weighed": text_of(np.float32(weighed(logits, fed))),
    }


def weights(rng: Any) -> dict[str, Any]:
    kinds = (
        (8, (130, 130), np.float16),
        (34000, (3, 50), np.float16),
        (35000, (40, 40), np.float32),
    )
    given = {
        onnx_file.Place("a.data", offset, int(np.prod(shape)) * np.dtype(kind).itemsize): (
            rng.normal(0, 0.1, shape).astype(kind)
        )
        for offset, shape, kind in kinds
    }
    found: dict[str, Any] = {"size": 42000}
    for stored in ("int8", "int16"):
        content = packed(given, {"a.data": 42000}, stored)
        digest = np.frombuffer(unpacked(content)["a.data"], np.uint8).astype(np.uint32)
        sums = [int(one.sum()) for one in np.split(digest, 42)]
        found[stored] = {"packed": base64.b64encode(content).decode(), "sums": sums}
    return found


WIDTHS = (6, 12, 16, 24)  # no multiples of what the page's kernels work out together
FRAMES_HW = ((96, 160), (32, 32), (160, 32))  # the least has one deepest cell, the last one column
ASKED: tuple[dict[str, Any], ...] = (
    {"points": [(50.3, 40.2, 1)]},
    {"points": [(50.3, 40.2, 1), (0, 0, 1), (159, 95, 0), (20, 71, 0)]},
    {"points": [], "box": (20, 10, 90.5, 60)},
    {"points": [(30, 30, 0)], "box": (-5, 10, 90.5, 60)},
    {"points": [(30, 30, 1)], "mask": True},
)


def pattern(shape: tuple[int, ...], which: int) -> np.ndarray[Any, Any]:
    """Numbers by a formula that the tests in Node have, too."""
    i = np.arange(int(np.prod(shape)))
    return np.sin(i * (0.37 + 0.11 * which) + (i * i % 97) / 13).astype(np.float32).reshape(shape)


def decoder(frame_hw: tuple[int, int]) -> dict[str, Any]:
    """What a small decoder of the bundled kind answers; its weights and maps are patterns."""
    import torch

    from anymask.models.compact import CompactNet
    from anymask.models.config import CompactConfig
    from anymask.models.prompt_batch import PromptBatch

    net = CompactNet(CompactConfig(decoder_widths=WIDTHS, key_widths=(5, 6, 7), quality_width=9))
    own = {
        name: values
        for name, values in sorted(net.state_dict().items())
        if name.startswith(("decoder.", "prompt_maps."))
    }
    for which, values in enumerate(own.values()):
        reach = np.sqrt(max(1, values.numel() // values.shape[0]))
        values.copy_(torch.from_numpy(pattern(tuple(values.shape), which) / reach))
    channels = {"colour": (3, 4)}
    channels |= {f"image{4 << i}": (width, 4 << i) for i, width in enumerate(WIDTHS)}
    channels |= {f"key{4 << i}": (5 + i, 4 << i) for i in range(3)}
    shapes = {
        name: (count, frame_hw[0] // stride, frame_hw[1] // stride)
        for name, (count, stride) in sorted(channels.items())
    }
    maps = {
        name: torch.from_numpy(pattern(shape, which)[None] / (4 if name.startswith("key") else 1))
        for which, (name, shape) in enumerate(shapes.items())
    }
    low = frame_hw[0] // 2, frame_hw[1] // 2
    answers = []
    for asked in ASKED:
        points = np.array(asked["points"], np.float32).reshape(1, -1, 3)
        prompts = PromptBatch(
            torch.from_numpy(points[..., :2]),
            torch.from_numpy(points[..., 2]),
            torch.tensor([asked["box"]]) if "box" in asked else None,
            torch.from_numpy(6 * pattern((1, 1, *low), 0)) if "mask" in asked else None,
            frame_hw,
        )
        with torch.no_grad():
            logits, scores = net.decode_all(maps, prompts)
        answers.append(
            {**asked, "logits": text_of(logits.numpy().ravel()[::11]), "scores": text_of(scores)}
        )
    weights = {name: tuple(values.shape) for name, values in own.items()}
    return {"frame": frame_hw, "weights": weights, "maps": shapes, "step": 11, "answers": answers}


def test_the_recorded_numbers_are_those_of_the_library() -> None:
    found, now = json.loads(GOLDENS.read_text("utf-8")), json.loads(json.dumps(numbers()))
    assert found.keys() == now.keys()
    exact = ("resize", "words", "weights")
    assert {name: found[name] for name in exact} == {name: now[name] for name in exact}
    alike(found["rough"], now["rough"])
    for one, other in zip(found["decoders"], now["decoders"], strict=True):
        answers = [numbers.pop("answers") for numbers in (one, other)]
        assert one == other
        for some in zip(*answers, strict=True):
            alike(*some)
    for name in ("frames", "masks", "soft"):
        for one, other in zip(found[name], now[name], strict=True):
            alike(one, other)


def alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Compare but for the last bits, which differ between processors."""
    for name, value in one.items():
        if name in ("made", "fed", "logits", "scores", "weighed"):
            arrays = (np.frombuffer(base64.b64decode(x), "f4") for x in (value, other[name]))
            assert np.allclose(*arrays, atol=1e-4), name
        elif name == "stability":
            assert abs(value - other[name]) < 1e-3
        else:
            assert value == other[name], name


if __name__ == "__main__":
    GOLDENS.write_text(json.dumps(numbers()) + "\n", encoding="utf-8")
    sys.exit()
