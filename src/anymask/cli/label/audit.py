"""``anymask label audit``: how good the masks are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from tyro.conf import arg

from anymask.cli.label.honeypots import score_lines
from anymask.cli.label.project import ProjectOptions, few, plain_numbers
from anymask.errors import InputError
from anymask.label.records import Stage

__all__ = ["ABOUT", "Audit"]

ABOUT = """Draw masks at random, let people correct them, and tell how good they were.

The first call of a name draws the masks and lists their images (all masks, or those of one stage or
one model version: the paper audits the automatic stage); people then correct, accept, reject
or delete these masks, best in the studio (`anymask studio`). Every further call tells how many had
an IoU above 90 % and 75 % with what people made of them, for each annotator and each model version;
what was rejected or deleted counts as 0. Where there are known masks (see `anymask label
honeypots`), it also tells how good annotators were on these.

Examples:
  anymask label audit photos/ --name may --sample 500
  anymask label audit photos/ --name june --sample 500 --stage automatic
  anymask label audit photos/ --name may              # how good were they?"""


@dataclass(frozen=True, kw_only=True)
class Audit(ProjectOptions):
    """Draw masks at random, let people correct them, and tell how good they were."""

    name: Annotated[str, arg(metavar="NAME")]
    """What the audit is called."""
    sample: Annotated[int | None, arg(metavar="INT", help_behavior_hint="")] = None
    """Begin it, with so many masks."""
    stage: Annotated[Stage | None, arg(metavar="STAGE", help_behavior_hint="")] = None
    """Draw only masks that are as this stage left them: assisted, semi-automatic, automatic or
    imported."""
    model_version: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Draw only masks whose pixels are of this version."""
    seed: Annotated[int | None, arg(metavar="INT", help_behavior_hint="")] = None
    """Start of the random sequence, to draw the same ones again."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.label.review.audit import begin_audit, read_audit
        from anymask.label.review.honeypots import score_annotators

        with self.open() as store:
            if self.sample is not None:
                begin_audit(
                    store,
                    self.name,
                    self.sample,
                    stage=self.stage,
                    version=self.model_version,
                    seed=self.seed,
                )
            elif self.stage is not None or self.model_version is not None:
                raise InputError(
                    "expected a sample with a stage or a model version, got none; give --sample, "
                    "such as --sample 500"
                )
            found = read_audit(store, self.name)
            scores = score_annotators(store)
        document = {**asdict(found), "honeypots": plain_numbers(scores)}
        self.print(document, [*_lines(found), *score_lines(scores)])
        return 0


def _lines(found: Any) -> Iterator[str]:
    yield f"audit {found.name!r}: {found.sampled:,d} masks, {len(found.waiting):,d} to be looked at"
    if found.waiting:
        images = list(dict.fromkeys(name for _, name in found.waiting))
        yield f"in {len(images):,d} images: {few(images)}"
    seen = [row for row in found.rows if row.masks]
    if seen:
        yield ""
        yield f"{'masks of':30} {'looked at':>9}  IoU > 0.9  IoU > 0.75   mean"
    for row in seen:
        shares = f"{row.above_90:9.1%}  {row.above_75:10.1%}  {row.mean_iou:5.3f}"
        yield f"{row.of:30} {row.masks:9,d}  {shares}"
