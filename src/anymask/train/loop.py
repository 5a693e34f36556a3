"""The training loop: learn, validate, save, and go on where it stopped.

The folder of a run holds ``config.yaml``, ``metrics.jsonl``, ``checkpoint.pt``, ``previews/`` with
some masks at each validation, and the averaged weights in ``best/`` and ``last/``. What a step does
depends on the settings, on its number and on the weights, never on what happened before: a run that
was interrupted ends with the same weights as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from anymask.train.config import LoopConfig
from anymask.train.objective import Batches, Objective, SaveModel, Validation
from anymask.train.run.checkpoint import (
    CHECKPOINT,
    Place,
    check_settings,
    read_checkpoint,
    settings_of,
    write_checkpoint,
)
from anymask.train.run.distributed import Group, joined
from anymask.train.run.interrupt import Interrupt
from anymask.train.run.learner import Learner
from anymask.train.run.record import Record

__all__ = ["Outcome", "check_unchanged", "fit"]

Reason = Literal["steps", "minutes", "patience"]


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    reason: Reason
    """It made all its steps, its time was over, or nothing became better any more."""
    steps: int
    """Steps made."""
    seconds: float
    """Time they took, with validation and over all resumptions."""
    best: float | None
    """Best value of the metric that decides; None without validation."""


def fit(
    model: nn.Module,
    batches: Batches,
    objective: Objective,
    config: LoopConfig,
    out: Path,
    *,
    identity: Mapping[str, Any],
    validation: Validation | None = None,
    save_model: SaveModel | None = None,
    allow_changes: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Outcome:
    """Let a model learn; the same call goes on where an earlier one stopped.

    Under torchrun each process calls it: they share the data and hold the same weights, and the
    first one validates and writes.

    Args:
        model: What has ``requires_grad`` learns, in float32. Which of its parts are in training
            mode is the caller's choice, and stays.
        batches: The data in their order.
        objective: What is learned from a batch.
        config: How.
        out: Folder of the run; made when missing.
        identity: What else decides how the run goes, such as the variant, the digest of its
            weights, the data and what learns: plain JSON values, compared when it is resumed.
        validation: Measures the model now and then. The averaged weights are measured.
        save_model: Writes the model as users load it into a new folder, called with the averaged
            weights in place; ``best/`` is from the last validation that was as good as the best
            one, but for what may be noise, ``last/`` from the end.
        allow_changes: Go on even if the settings are others than before.
        overwrite: Forget an earlier run in that folder.
        quiet: Show no progress.

    Raises:
        InputError: The loss is not finite, or the folder holds a run with other settings.
        OutputError: Something cannot be written; the last checkpoint stays.
        KeyboardInterrupt: Ctrl-C came; the step was completed and saved.
        SystemExit: SIGTERM came; the same, with the exit code 143.
    """
    device = next(model.parameters()).device
    gpus = [device] if device.type == "cuda" else []
    settings = settings_of(identity, config)
    with torch.random.fork_rng(gpus), joined(device) as group, Interrupt() as interrupt:
        learner = Learner(model, objective, config, group)
        with Record(out, quiet=quiet or not group.leads) as record:
            run = _Run(learner, record, interrupt, settings, validation, save_model)
            run.begin(allow_changes=allow_changes, overwrite=overwrite)
            return run.go(batches)


def check_unchanged(out: Path, identity: Mapping[str, Any], config: LoopConfig) -> None:
    """Refuse settings that `fit` would refuse, for those who have much to do before it begins.

    Args:
        out: Folder of the run, which may be new.
        identity: As for `fit`.
        config: As for `fit`.

    Raises:
        InputError: The folder holds a run with other settings, or a damaged one.
    """
    if (out / CHECKPOINT).exists():
        check_settings(read_checkpoint(out / CHECKPOINT)[0], settings_of(identity, config), out)


class _Run:
    """A run and where it stands."""

    def __init__(
        self,
        learner: Learner,
        record: Record,
        interrupt: Interrupt,
        settings: Mapping[str, Any],
        validation: Validation | None,
        save_model: SaveModel | None,
    ) -> None:
        self.learner, self.record, self.interrupt = learner, record, interrupt
        self.settings, self.validation, self.save_model = settings, validation, save_model
        self.config: LoopConfig = learner.config
        self.group: Group = learner.group
        self.place = Place()

    def begin(self, *, allow_changes: bool, overwrite: bool) -> None:
        """Take up an earlier run, or start a new one."""
        if self.group.leads:
            self.record.claim()
            if overwrite:
                self.record.forget()
        if self.group.share(self.record.checkpoint.exists()):
            settings, self.place, state = read_checkpoint(self.record.checkpoint)
            if not allow_changes:
                check_settings(settings, self.settings, self.record.out)
            self.learner.load(state)
        if self.group.leads:
            self.record.begin(self.settings, self.place)
        self.started = time.monotonic() - self.place.seconds
        self._save()  # a place that cannot be written to should be known before any work

    def go(self, batches: Batches) -> Outcome:
        """Learn until an end is reached."""
        place, config, group = self.place, self.config, self.group
        start = place.steps * config.accumulate
        with closing(batches.iterate(start, group.process, group.processes)) as stream:
            while True:
                reason = self._ended()
                due = place.steps % config.evaluate_every == 0
                if place.validated != place.steps and (reason or due):
                    self._validate()
                    reason = self._ended()
                if reason:
                    break
                self._step(stream)
        self._save_weights("last")
        self._save()
        best = None if self.validation is None else place.best
        return Outcome(reason, place.steps, place.seconds, best)

    def _step(self, stream: Iterator[Any]) -> None:
        """Learn from the next batches; note what came of it, save if it is time."""
        metrics = self.learner.step(stream, self.place.steps, self._progress())
        self.place.steps += 1
        # Clocks and signals differ from process to process, and all must come to the same end.
        agreed = self.group.gather((time.monotonic() - self.started, self.interrupt.pending))
        self.place.seconds = agreed[0][0]
        pending = next((number for _, number in agreed if number is not None), None)
        self._note(metrics)
        if pending is not None or time.monotonic() - self.saved >= 60 * self.config.save_minutes:
            self._save()
        self.interrupt.obey(pending)

    def _note(self, metrics: Mapping[str, float]) -> None:
        """Show how it goes, and write a line for each window of steps."""
        place = self.place
        for name, value in metrics.items():
            total, count = place.window.get(name, (0.0, 0))
            place.window[name] = (total + value, count + 1)
        best = {} if self.validation is None else {f"best {self.validation.metric}": place.best}
        self.record.show(place.steps, self._progress(), {"loss": metrics["loss"], **best})
        if place.steps % self.config.record_every == 0 or self._ended():
            means = {name: total / count for name, (total, count) in place.window.items()}
            place.window.clear()
            self._add(means)

    def _validate(self) -> None:
        """Measure the averaged weights, and keep them unless earlier ones were really better."""
        place, validation = self.place, self.validation
        if validation is not None:
            metrics = self.group.share(self._measure(validation) if self.group.leads else {})
            value = metrics[validation.metric]
            kept = value > place.best - validation.noise_tolerance
            place.stale += 1
            if value > place.best:
                place.best, place.stale = value, 0
            if kept:
                self._save_weights("best")
            self._add({"validation": metrics, "kept": kept})
        place.validated = place.steps

    def _measure(self, validation: Validation) -> dict[str, float]:
        """Measure and draw."""
        self.record.validating()
        try:
            with self.learner.averaged() as model, self.interrupt.at_once(), torch.no_grad():
                metrics = validation(model)
                preview = validation.draw(model)
        except (KeyboardInterrupt, SystemExit):
            self._save()
            raise
        if preview is not None:
            self.record.preview(preview, self.place.steps)
        return dict(metrics)

    def _save_weights(self, name: str) -> None:
        if self.save_model is not None and self.group.leads:
            with self.learner.averaged() as model:
                self.record.weights(name, partial(self.save_model, model))

    def _save(self) -> None:
        self.saved = time.monotonic()
        if self.group.leads:
            state = self.learner.state()
            write_checkpoint(self.record.checkpoint, self.settings, self.place, state)

    def _add(self, metrics: Mapping[str, Any]) -> None:
        if self.group.leads:
            minutes = round(self.place.seconds / 60, 2)
            self.record.add({"step": self.place.steps, "minutes": minutes, **metrics})

    def _progress(self) -> float:
        """Return how much of the run is over, by steps or by the clock, from 0 to 1."""
        place, config = self.place, self.config
        clock = 0.0 if config.minutes is None else place.seconds / (60 * config.minutes)
        return min(1.0, max(place.steps / config.steps, clock))

    def _ended(self) -> Reason | None:
        """Return why it is over, if it is."""
        place, config = self.place, self.config
        if place.steps >= config.steps:
            return "steps"
        if config.minutes is not None and place.seconds >= 60 * config.minutes:
            return "minutes"
        if config.patience is not None and place.stale >= config.patience:
            return "patience"
        return None
