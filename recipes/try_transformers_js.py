"""Try what ``anymask export --to transformers-js`` writes in a browser, with that library itself.

    npm install --prefix node --ignore-scripts @huggingface/transformers
    pip install playwright
    python recipes/try_transformers_js.py --packages node/node_modules --browser /usr/bin/chromium

It exports a small SAM and a small MobileSAM of random weights, or the models that are named, serves
them and the library to a browser without a window (by playwright), asks about points, boxes, masks
and single answers as docs/export.md shows, and compares the answers with those of PyTorch. Nothing
is fetched from elsewhere.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import functools
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import tyro

import anymask
from anymask.models.build import build
from anymask.models.config import DecoderConfig, SamConfig, TinyVitConfig, VitConfig
from anymask.models.variants import find
from anymask.models.weights.folder import write_folder

PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<script type="importmap">{ "imports": {
  "@huggingface/transformers": "/packages/@huggingface/transformers/dist/transformers.min.js"
} }</script>
<script type="module">
import { env, SamModel, AutoProcessor, PreTrainedModel, RawImage } from "@huggingface/transformers";
env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = "/models/";
env.backends.onnx.wasm.wasmPaths = "/packages/onnxruntime-web/dist/";
env.backends.onnx.wasm.numThreads = 1;
const plain = (tensor) => ({ dims: tensor.dims, data: Array.from(tensor.data) });

window.ask = async (name, pixels, size, cases) => {
  const model = await SamModel.from_pretrained(name);
  const processor = await AutoProcessor.from_pretrained(name);
  const maskEncoder = await PreTrainedModel.from_pretrained(name, {
    model_file_name: "mask_encoder",
    config: { ...model.config, model_type: "custom" },
  });
  const image = new RawImage(Uint8ClampedArray.from(pixels), size[1], size[0], 3);
  const embedded = await model.get_image_embeddings(await processor(image));
  const answers = [];
  for (const one of cases) {
    const { input_points, input_labels } = one;
    const inputs = await processor(image, { input_points, input_labels });
    const outputs = await model(inputs);
    const all = await model.forward({ ...inputs, ...embedded });
    const best = outputs.pred_masks.slice(null, null, [0, 1]).squeeze(1);
    const { image_embeddings_with_masks } = await maskEncoder({ ...embedded, input_masks: best });
    const again = await model.forward({
      ...inputs, ...embedded, image_embeddings: image_embeddings_with_masks,
    });
    const whole = await processor.post_process_masks(
      all.single_pred_masks, inputs.original_sizes, inputs.reshaped_input_sizes);
    answers.push({
      iou_scores: plain(outputs.iou_scores), pred_masks: plain(outputs.pred_masks),
      single_iou_scores: plain(all.single_iou_scores),
      single_pred_masks: plain(all.single_pred_masks),
      again_iou_scores: plain(again.iou_scores), again_pred_masks: plain(again.pred_masks),
      whole: { dims: whole[0].dims, data: Array.from(whole[0].data, Number) },
    });
  }
  return answers;
};
window.version = env.version;
</script>"""

SIDE = 64
"""Longest side of the frames of small models, and of the image that `PROMPTS` are for."""

DOCS = Path(__file__).resolve().parents[1] / "docs"

PROMPTS: dict[str, dict[str, Any]] = {
    "point": {"points": [[31, 22]], "labels": [1]},
    "points": {"points": [[31, 22], [40, 12], [9, 40]], "labels": [1, 1, 0]},
    "box": {"box": [8, 5, 50, 40]},
    "box and points": {"points": [[31, 22], [10, 8]], "labels": [1, 0], "box": [8, 5, 50, 40]},
}
"""What is asked, in pixels of that image; of larger ones in proportion."""

TOLERANCES = {None: 1e-3, "fp16": 5e-2}
"""Of scores as they are, of logits as a share of their standard deviation."""


@dataclass(frozen=True)
class Config:
    """What to try, and with what."""

    packages: Path
    """The folder node_modules that npm wrote."""
    models: tuple[str, ...] = ()
    """Names or paths; none: a small SAM and a small MobileSAM of random weights."""
    quantize: Literal["fp16"] | None = None
    """As `anymask export` has it."""
    browser: Path | None = None
    """A Chromium; none: the one that playwright installed."""


def main(config: Config) -> float:
    """Do it, print and return the largest difference.

    Raises:
        SystemExit: It is too large.
    """
    torch.set_num_threads(1)
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "packages").symlink_to(config.packages.expanduser().resolve())
        (root / "index.html").write_text(PAGE, encoding="utf-8")
        models = config.models or tuple(
            str(small(name, root)) for name in ("sam-vit-b", "mobile-sam")
        )
        for i, model in enumerate(models):
            place = root / "models" / str(i)
            anymask.export(model, place, to="transformers-js", quantize=config.quantize)
        (root / "models" / "mobile-js").symlink_to(root / "models" / str(len(models) - 1))
        (root / "photo.jpg").symlink_to(DOCS / "pictures" / "coffee.jpg")
        with served(root) as address, opened(address, config.browser) as page:
            print("transformers.js", page.evaluate("window.version"))
            run_docs(page)
            for i, model in enumerate(models):
                for case, difference in compare(page, str(i), model):
                    print(f"{Path(model).name:<12} {case:<36} {difference:.1e}")
                    worst = max(worst, difference)
    if not worst <= TOLERANCES[config.quantize]:
        raise SystemExit(f"expected {TOLERANCES[config.quantize]:g} at most, got {worst:.2g}")
    return worst


def small(name: str, root: Path) -> Path:
    """Write random weights of a small network."""
    variant = find(name)
    encoder: VitConfig | TinyVitConfig = VitConfig(32, 2, 2, (1,), side=SIDE, window=3)
    if name == "mobile-sam":
        widths, depths, heads, windows = (16, 24, 32, 32), (1, 1, 2, 1), (2, 2, 4), (3, 3, 2)
        encoder = TinyVitConfig(widths, depths, heads, windows, classes=5, side=SIDE)
    network = SamConfig(encoder, DecoderConfig(width=32, heads=4, mlp=64))
    look = replace(variant.preprocessing, side=SIDE)
    variant = replace(variant, network=network, preprocessing=look)
    torch.manual_seed(0)
    write_folder(root / "weights" / name, variant, build(variant).eval().state_dict())
    return root / "weights" / name


@contextmanager
def served(root: Path) -> Iterator[str]:
    """Serve a folder to this machine alone, and give its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    Quiet.extensions_map = {**Quiet.extensions_map, ".mjs": "text/javascript"}
    handler = functools.partial(Quiet, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()


@contextmanager
def opened(address: str, browser: Path | None) -> Iterator[Any]:
    """Open the page in a browser without a window, which may go nowhere else."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        path = None if browser is None else str(browser)
        chromium = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = chromium.new_page()
        page.route(lambda url: not url.startswith((address, "blob:", "data:")), refuse)
        page.on("console", lambda said: print(f"  browser: {said.text}"))
        page.on("pageerror", lambda error: print(f"  browser: {error}"))
        page.set_default_timeout(600_000)  # a busy machine takes minutes to decode an image
        page.goto(address)
        page.wait_for_function("window.version")
        yield page
        chromium.close()


def refuse(route: Any) -> None:
    """Refuse what the page wants from elsewhere, and say so."""
    print(f"  refused: {route.request.url}")
    route.abort()


def run_docs(page: Any) -> None:
    """Run what docs/export.md shows, and look at what comes out."""
    text = (DOCS / "export.md").read_text(encoding="utf-8")
    _, _, shown = text.partition("```js\n")
    code = shown.partition("```")[0]
    code += "\nwindow.shown = [pred_masks.dims, masks[0].dims, refined.pred_masks.dims];"
    page.add_script_tag(content=code, type="module")
    page.wait_for_function("window.shown")
    print("docs/export.md:", page.evaluate("window.shown"))


def compare(page: Any, name: str, model: str) -> Iterator[tuple[str, float]]:
    """Ask the browser and PyTorch the same, and yield how far they are apart."""
    ours = anymask.load(model, runtime="torch")
    side = ours.variant.preprocessing.side
    scale, image = side / SIDE, picture(side)  # as large as the frame: nothing is resized
    prompts = [
        {key: values if key == "labels" else (np.array(values) * scale).tolist()
         for key, values in prompt.items()}
        for prompt in PROMPTS.values()
    ]  # fmt: skip
    given = [image.ravel().tolist(), image.shape[:2], [as_points(prompt) for prompt in prompts]]
    answers = page.evaluate("([name, ...rest]) => window.ask(name, ...rest)", [name, *given])
    embedding = ours.embed(image)
    for case, prompt, answer in zip(PROMPTS, prompts, answers, strict=True):
        three = ours.predict(embedding, **prompt, multimask=True)
        yield from differences(case, three, answer, "")
        one = ours.predict(embedding, **prompt, multimask=False)
        yield from differences(f"{case}, single", one, answer, "single_")
        whole = array(answer["whole"])[0]
        yield f"{case}, single, other pixels", float((whole != one.dense()).mean())
        best = array(answer["pred_masks"])[0, 0, 0]
        again = ours.predict(embedding, **prompt, mask_logits=best, multimask=True)
        yield from differences(f"{case}, with a mask", again, answer, "again_")


def picture(side: int) -> npt.NDArray[np.uint8]:
    """Draw noise and a bright thing, uint8 (3/4 side, side, 3)."""
    image = np.random.default_rng(0).integers(0, 90, (side * 3 // 4, side, 3)).astype(np.uint8)
    image[side // 5 : side // 2, side // 4 : side * 2 // 3] += 120
    return image


def as_points(prompt: Mapping[str, Any]) -> dict[str, Any]:
    """Write a prompt as transformers.js takes it: a box as two points."""
    points, labels = list(prompt.get("points", [])), list(prompt.get("labels", []))
    if "box" in prompt:
        x0, y0, x1, y1 = prompt["box"]
        points, labels = [*points, [x0, y0], [x1, y1]], [*labels, 2, 3]
    return {"input_points": [points], "input_labels": [labels]}


def differences(
    case: str, wanted: Any, answer: Mapping[str, Any], kind: str
) -> Sequence[tuple[str, float]]:
    """Compare masks of ours with outputs of the browser's."""
    scores = array(answer[f"{kind}iou_scores"])[0, 0]
    order = np.argsort(-scores, kind="stable")  # as ours are: the best first
    logits, scores = array(answer[f"{kind}pred_masks"])[0, 0, order], scores[order]
    away = np.abs(logits - wanted.logits).max() / wanted.logits.std()
    return [
        (f"{case}, logits", float(away)),
        (f"{case}, scores", float(np.abs(scores - wanted.scores).max())),
    ]


def array(tensor: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """Read what the page made of a tensor."""
    values: npt.NDArray[np.float32] = np.array(tensor["data"], np.float32).reshape(tensor["dims"])
    return values


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
