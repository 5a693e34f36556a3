"""``anymask evaluate audit``: automatic masks against corrected ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from anymask.cli.evaluate.options import EvaluateOptions

__all__ = ["Audit"]


@dataclass(frozen=True, kw_only=True)
class Audit(EvaluateOptions):
    """Compare automatic masks with those that people corrected."""

    automatic: Annotated[Positional[Path], arg(metavar="AUTOMATIC")]
    """Folder of masks: SA-1B or COCO JSON, or PNG label maps named after their images."""
    corrected: Annotated[Positional[Path], arg(metavar="CORRECTED")]
    """The same after correction, in any of these formats."""

    def run(self) -> int:
        """Compare, write the report, and return the exit code."""
        from anymask.evaluate.audit import compare_folders, summarise
        from anymask.evaluate.report.page import Page
        from anymask.evaluate.report.report import markdown, write_page

        summary = summarise(compare_folders(self.automatic, self.corrected))
        about = {
            "protocol": "audit",
            "automatic": str(self.automatic),
            "corrected": str(self.corrected),
        }
        write_page(self.output, Page("Audit of masks", about, summary))
        if not self.quiet:
            print(f"{markdown(summary)}\nThe report is {self.output / 'index.html'}.")
        return 0
