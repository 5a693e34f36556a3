"""What lies beside exported graphs: how they compare with the network, as JSON and as text."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anymask.errors import WeightsError
from anymask.export.image_input import DIFFERENCES
from anymask.export.verify import Row
from anymask.plain import to_plain

if TYPE_CHECKING:
    from anymask.export.agreement import Agreement
    from anymask.models.exported import Exported

__all__ = ["REPORT_JSON", "REPORT_TEXT", "Report"]

REPORT_JSON, REPORT_TEXT = "report.json", "report.txt"


@dataclass(frozen=True)
class Report:
    """What came out of an export."""

    folder: Path
    """Where the graphs are."""
    exported: Exported
    """What they are."""
    runtimes: tuple[str, ...]
    """What ran them for the comparison."""
    rows: tuple[Row, ...]
    """One for each kind of prompt, and for the features, by each runtime."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of each file."""
    agreements: tuple[Agreement, ...] = ()
    """How alike the masks of quantized graphs are, by each runtime."""

    @property
    def worst(self) -> Row:
        """The row that uses up most of its tolerance."""
        return max(self.rows, key=lambda row: row.difference / (row.tolerance or 1.0))

    def check(self) -> None:
        """Check that all is within the tolerance.

        Raises:
            WeightsError: It is not.
        """
        for row in self.rows:
            if not row.good:
                most = "a finite difference" if row.tolerance is None else f"{row.tolerance:g}"
                raise WeightsError(
                    f"expected graphs of {self.exported.variant.name} within {most} "
                    f"of the network, got {row.difference:.2g} in {row.what} of "
                    f"{row.case!r} by {row.runtime}; try another --opset, and tell us"
                )

    def to_json(self) -> dict[str, Any]:
        """Write as what JSON can hold."""
        about = {
            "model": self.exported.variant.name,
            "layout": self.exported.layout,
            "precision": self.exported.precision,
            "runtimes": self.runtimes,
            "files": self.sizes,
            "rows": [{**asdict(row), "good": row.good} for row in self.rows],
            "agreements": self.agreements,
        }
        plain: dict[str, Any] = to_plain(about)
        return plain

    def to_text(self) -> str:
        """Write for people to read."""
        exported = self.exported
        lines = [
            f"{exported.variant.name} as {exported.layout}, {exported.precision}, "
            f"opset {exported.opset}, run by {' and '.join(self.runtimes)}",
            "",
            "Largest difference to the network in PyTorch, of the same inputs: of maps divided by",
            "the standard deviation of their values, of predicted IoU as it is.",
            "",
            f"{'case':<28} {'what':<16} {'runtime':<8} {'difference':>10} {'tolerance':>10}",
        ]
        if exported.raw_image:
            resize = exported.variant.preprocessing.resize
            lines[1:1] = ["", f"The encoder takes uint8 images and {DIFFERENCES[resize]}."]
        for row in self.rows:
            most = "none" if row.tolerance is None else f"{row.tolerance:.1e}"
            place = f"{row.case:<28} {row.what:<16} {row.runtime:<8}"
            lines.append(f"{place} {row.difference:>10.1e} {most:>10}")
        lines += ["", *(f"{size:>12,} bytes  {name}" for name, size in self.sizes.items())]
        for agreement in self.agreements:
            lines += ["", agreement.to_text()]
        return "\n".join(lines) + "\n"
