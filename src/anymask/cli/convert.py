"""``anymask convert``: weights as a folder that explains itself, masks in another format.

Which of the two is meant is told by ``--format``, which weights do not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from anymask.cli.options import Flag
from anymask.cli.parser import parse as parse_words
from anymask.errors import InputError

if TYPE_CHECKING:
    import torch

    from anymask.cli.convert_masks import ConvertMasks
    from anymask.models.weights.loading import Checkpoint

__all__ = ["Convert", "parse"]

_ABOUT = """Write weights as a folder of config.json and model.safetensors.

The folder loads by its path, needs no table, and holds nothing that could run. With --format it is
masks that are converted, from any format to any other: see anymask convert --format yolo --help.

Examples:
  anymask convert sam_vit_b_01ec64.pth -o sam-vit-b/
  anymask convert facebook/sam-vit-base --dtype float16 -o half/
  anymask convert sam-vit-b --adapter runs/lora/best -o merged/
  anymask convert sam-vit-b --layout transformers -o for-transformers/
  anymask convert big-lama.pt -o big-lama/  # for anymask inpaint --engine big-lama/
  anymask convert masks.json --format yolo -o set/"""


def parse(words: Sequence[str]) -> Convert | ConvertMasks:
    """Turn the words after ``anymask convert`` into a command."""
    if any(word.partition("=")[0] in ("-f", "--format") for word in words):
        from anymask.cli import convert_masks

        return convert_masks.parse(words)
    return parse_words(Convert, words, "anymask convert", _ABOUT)


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Write weights as a folder of config.json and model.safetensors."""

    source: Annotated[Positional[str], arg(metavar="MODEL")]
    """A name from `anymask models`; or a path, an address or a hub id (org/name) of weights."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")]
    """The new folder."""
    adapter: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """LoRA to be merged into the weights: a folder that `anymask train` or peft wrote."""
    dtype: Annotated[
        Literal["float32", "float16", "bfloat16"] | None, arg(help_behavior_hint="")
    ] = None
    """Dtype of the weights; without it, the one that they have."""
    layout: Literal["anymask", "transformers"] = "anymask"
    """Whose config and key names; that of transformers has words for SAM alone."""
    offline: Flag = False
    """Download nothing; use only what is here."""
    debug: Flag = False
    """Show the traceback of an error."""

    def run(self) -> int:
        """Do it and return the exit code."""
        import torch

        from anymask.models.weights.folder import write_folder
        from anymask.models.weights.loading import build_filled, read_checkpoint

        if self._write_lama():
            return 0
        found = read_checkpoint(self.source, self.offline, self.adapter)
        _check_mergeable(found)
        state = build_filled(found, getattr(torch, self.dtype or "", None)).state_dict()
        _check_range(state)
        write_folder(self.output, found.variant, state, self.layout)
        self._report(found.variant.name, len(state))
        return 0

    def _write_lama(self) -> bool:
        """Write the generator of LaMa, which is no model of masks, if that is what the source is.

        A TorchScript program can be nothing else.
        """
        import torch

        from anymask.models.lama import CONFIG, holds_lama, load_lama
        from anymask.models.weights.folder import write_files
        from anymask.models.weights.locate import locate

        path, variant = locate(self.source, self.offline)
        if variant is not None or not holds_lama(path):
            return False
        if self.adapter is not None or self.layout != "anymask":
            flag = "--layout" if self.adapter is None else "--adapter"
            raise InputError(f"expected no {flag} for LaMa, which has none, got one; leave it out")
        network = load_lama(path, dtype=getattr(torch, self.dtype or "", None))
        state = network.state_dict()
        _check_range(state)
        write_files(self.output, {"config.json": CONFIG}, "model.safetensors", state)
        self._report("big-lama", len(state))
        return True

    def _report(self, name: str, tensors: int) -> None:
        size = (self.output / "model.safetensors").stat().st_size
        print(f"{name}: {tensors} tensors, {size / 1e6:,.1f} MB in {self.output}/")


def _check_mergeable(found: Checkpoint) -> None:
    """Check that nothing is left of adapters once they are merged."""
    from anymask.errors import CapabilityError

    for adapter in found.adapters:
        if adapter.promptless:
            raise CapabilityError(
                f"expected LoRA, which can be merged into weights, got a SAM-Adapter in "
                f"{str(adapter.config.parent)!r}, which cannot; keep its folder"
            )


def _check_range(state: dict[str, torch.Tensor]) -> None:
    """Check that no number became too large for its type."""
    for key, value in state.items():
        if not value.isfinite().all():
            raise InputError(
                f"expected numbers that {str(value.dtype).removeprefix('torch.')} can hold, got "
                f"larger ones in {key}; choose --dtype bfloat16 or float32"
            )
