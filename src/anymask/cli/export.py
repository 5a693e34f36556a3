"""``anymask export``: a model as graphs that run without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from anymask.cli.options import Flag
from anymask.cli.parser import parse as parse_words

if TYPE_CHECKING:
    from anymask.cli.parser import Command
    from anymask.export.report import Report

__all__ = ["Export", "parse"]

_ABOUT = """Write a model as graphs that run without PyTorch, and compare them with it.

The folder holds the encoder and the decoder, what they are as export.json, and how they compare
with the network for every kind of prompt as report.txt. --model takes it, and so does anymask.load.

Examples:
  anymask export -o out/  # the bundled model, with its detector and saliency network
  anymask export --model sam_vit_b_01ec64.pth -o sam-onnx/
  anymask export --model mobile-sam --to openvino -o mobile-openvino/
  anymask export --model mobile-sam --to transformers-js -o mobile-js/
  anymask export --model sam-vit-b --quantize int8 --calibrate photos/ -o sam-int8/
  anymask export --model mobile-sam --raw-image --single-mask -o for-an-app/
  anymask segment photo.jpg --point 500,375 --model sam-onnx/ --runtime openvino"""


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask export`` into a command."""
    return parse_words(Export, words, "anymask export", _ABOUT)


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a model as graphs that run without PyTorch."""

    model: Annotated[str, arg(aliases=["-m"], metavar="MODEL")] = "bundled"
    """A name from `anymask models`; or a path, an address or a hub id (org/name) of weights."""
    to: Literal["onnx", "openvino", "transformers-js", "samexporter"] = "onnx"
    """Which files: ONNX, which both runtimes read; those of OpenVINO's own; of SAM and MobileSAM,
    ONNX as SamModel of transformers.js reads it, in a browser or in Node; or, of SAM 2, ONNX with
    the names of samexporter, for programs that run its graphs."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")] = Path("anymask-export")
    """The new folder."""
    adapter: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """What the model learned beside its weights: a folder that `anymask train` or peft wrote."""
    opset: Annotated[int, arg(metavar="INT")] = 18
    """Version of ONNX's operators: 17 to 20."""
    raw_image: Flag = False
    """Let the encoder take uint8 images, which it resizes and normalises itself."""
    single_mask: Flag = False
    """Let the decoder choose one mask for each prompt, not give all four."""
    stability_score: Flag = False
    """Let the decoder score by stability instead of the predicted IoU."""
    extra_metrics: Flag = False
    """Let the decoder give stability and area of the masks, too."""
    quantize: Annotated[
        Literal["fp16", "bf16", "int8-dynamic", "int8"] | None, arg(help_behavior_hint="")
    ] = None
    """How the encoder's weights are kept: in 16 bits; in 8, with the activations measured in every
    run (int8-dynamic) or beforehand (int8, with --calibrate). The decoder stays as it is."""
    calibrate: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """A folder of images such as those to come: int8 measures activations on them, and every
    quantized model is compared on them with the model in float32."""
    min_agreement: Annotated[float, arg(metavar="FLOAT")] = 0.95
    """Least mean IoU with the masks of the model in float32, over clicks and boxes; 0: any."""
    offline: Flag = False
    """Download nothing; use only what is here."""
    json: Flag = False
    """Print the report as JSON."""
    quiet: Annotated[bool, arg(aliases=["-q"], help_behavior_hint="")] = False
    """Print nothing but errors."""
    debug: Flag = False
    """Show the traceback of an error."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from rich.console import Console

        from anymask.export.write import export

        with Console(stderr=True, quiet=self.quiet or self.json).status(f"exporting {self.model}"):
            report = export(
                self.model,
                self.output,
                to=self.to,
                opset=self.opset,
                raw_image=self.raw_image,
                single_mask=self.single_mask,
                stability_score=self.stability_score,
                extra_metrics=self.extra_metrics,
                quantize=self.quantize,
                calibrate=self.calibrate,
                min_agreement=self.min_agreement,
                adapter=self.adapter,
                offline=self.offline,
            )
        self._say(report)
        return 0

    def _say(self, report: Report) -> None:
        if self.json:
            import json

            print(json.dumps(report.to_json()))
        if self.json or self.quiet:
            return
        size, worst = sum(report.sizes.values()) / 1e6, report.worst
        print(
            f"{report.exported.variant.name}: {', '.join(report.exported.graphs)}, {size:,.1f} MB "
            f"in {self.output}/"
        )
        print(f"largest difference to PyTorch: {worst.difference:.1e} ({worst.case}, {worst.what})")
        for agreement in report.agreements:
            print(agreement.to_text())
