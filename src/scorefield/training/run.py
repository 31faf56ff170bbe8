"""One training from its first step, or from a snapshot, to its last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from scorefield.errors import InputError
from scorefield.objectives import Objective
from scorefield.prior import Prior
from scorefield.training.budget import Budget
from scorefield.training.descent import Batches, Descent, Step
from scorefield.training.interrupts import Interrupts
from scorefield.training.record import Clock, Record, Snapshot
from scorefield.training.validation import Checks
from scorefield.training.workers import workers

LOG_EVERY = 50  # steps between two lines of the log


@dataclass
class Run:
    """A descent with what watches it.

    Args:
        prior: what is trained; ``descent.prior`` is the part of it that learns.
        descent: weights, optimizer and average.
        checks: validation, if any.
        record: where snapshots and log go, if anywhere.
        images: what tells the images from others; a snapshot of others is not continued.
    """

    prior: Prior
    descent: Descent
    checks: Checks | None
    record: Record | None
    images: str

    def steps(self, batches: Batches, objective: Objective, budget: Budget) -> Iterator[Step]:
        """The steps that are left, logged, validated and kept.

        Raises:
            InputError: a loss that is not finite, with the last good weights kept; a snapshot of another training.
            KeyboardInterrupt: asked to stop; a snapshot was written first.
        """
        self._resume()
        clock = Clock(self.record.minutes) if self.record else None
        losses: list[float] = []
        group = workers()
        with Interrupts() as interrupts:
            remaining = self._descend(batches, objective, budget)
            while not group.agree(self._exhausted()) and (step := next(remaining, None)) is not None:
                losses.append(step.loss)
                if step.number % LOG_EVERY == 0 or step.used >= 1:
                    self._log({"step": step.number, **step._asdict(), "loss": sum(losses) / len(losses)})
                    losses = []
                if self.checks is not None and step.number % self.checks.validation.every == 0:
                    self._check(self.checks)
                stop = bool(group.agree(interrupts.asked))
                if clock is not None and (clock.due() or stop):
                    self._keep()
                if stop:
                    raise KeyboardInterrupt
                yield step

    def finish(self) -> Snapshot:
        """Give the prior its final weights: the best, where validation says which those are, else the average.

        Returns:
            The training as it was before, from which a longer one could go on.
        """
        if self.checks is not None and self.checks.last_step != self.descent.step:
            self._check(self.checks)
        snapshot = self._snapshot(finished=True)
        self.descent.prior.load_state_dict(self._best())
        return snapshot

    def write(self, snapshot: Snapshot) -> None:
        """Replace the folder of the record, if there is one, by the prior as it is, and ``snapshot``."""
        if self.record is not None and workers().rank == 0:
            self.record.write(self.prior, snapshot)

    def _descend(self, batches: Batches, objective: Objective, budget: Budget) -> Iterator[Step]:
        try:
            yield from self.descent.descend(batches, objective, budget)
        except InputError as error:
            if self.record is None or not self.descent.step:
                raise
            self._keep()  # the step was not taken, so these are good weights
            raise InputError(f"{error} The weights before that step are in {self.record.path}.") from error

    def _keep(self) -> None:
        """Write the folder as of now: the prior at its best, then back to where it is."""
        snapshot = self._snapshot(finished=False)
        own = {name: t.clone() for name, t in self.descent.prior.state_dict().items()}
        self.descent.prior.load_state_dict(self._best())
        try:
            self.write(snapshot)
        finally:
            self.descent.prior.load_state_dict(own)

    def _snapshot(self, *, finished: bool) -> Snapshot:
        best = self.checks.best if self.checks is not None else {}
        history = self.checks.history if self.checks is not None else []
        tensors = self.descent.tensors() | {f"best.{name}": t.cpu() for name, t in best.items()}
        clock = {"step": self.descent.step, "seconds": self.descent.seconds, "finished": finished}
        return Snapshot(tensors, {"format": 1, **clock, **self._fixed(), "validation": history})

    def _best(self) -> dict[str, Tensor]:
        return (self.checks.best if self.checks else None) or self.descent.average.module.state_dict()

    def _exhausted(self) -> bool:
        return self.checks is not None and self.checks.exhausted()

    def _check(self, checks: Checks) -> None:
        averaged: Any = self.descent.average.module
        self._log(checks.add(averaged, self.descent.step))

    def _log(self, record: Mapping[str, Any]) -> None:
        if self.record is not None and workers().rank == 0:
            for log in self.record.logs:
                log.write({name: value for name, value in record.items() if name != "number"})

    def _fixed(self) -> dict[str, Any]:
        return {"seed": self.descent.seed, "settings": asdict(self.descent.settings), "images": self.images}

    def _resume(self) -> None:
        found = self.record.begin(self._fixed()) if self.record is not None else None
        if found is None:
            return
        try:
            self.descent.restore(found.tensors, step=found.record["step"], seconds=found.record["seconds"])
        except (RuntimeError, KeyError, ValueError) as error:
            assert self.record is not None
            raise InputError(
                f"{self.record.path} holds the training of another prior ({str(error).splitlines()[0]}); choose another"
                " folder."
            ) from error
        if self.checks is not None:
            self.checks.history = list(found.record["validation"])
            self.checks.best = {n[5:]: t.to(self.descent.device) for n, t in found.tensors.items() if n[:5] == "best."}
