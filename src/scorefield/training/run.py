"""One training from its first step, or from a snapshot, to its last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from scorefield.errors import InputError
from scorefield.lessons.lesson import Batches
from scorefield.objectives import Objective
from scorefield.prior import Prior
from scorefield.training.budget import Budget
from scorefield.training.descent import AveragedAdam, StepReport
from scorefield.training.interrupts import Interrupts
from scorefield.training.record import Clock, Record, Snapshot
from scorefield.training.validation import Checks
from scorefield.training.workers import workers

LOG_EVERY = 50  # steps between two lines of the log


@dataclass
class Run:
    """An optimizer, its validation and its record.

    Args:
        prior: the prior in training; ``optimizer.prior`` is the part of it that learns.
        optimizer: weights, moments and average.
        checks: validation, if there is one.
        record: folder of snapshots and log, if there is one.
        images: number and checksum of the images; a snapshot of other images cannot continue.
        fixed: what else decides the steps (:func:`scorefield.training.identity.identity`), by name.
    """

    prior: Prior
    optimizer: AveragedAdam
    checks: Checks | None
    record: Record | None
    images: str
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def steps(self, batches: Batches, objective: Objective, budget: Budget) -> Iterator[StepReport]:
        """The remaining steps, with log, validation and snapshots.

        Raises:
            InputError: a loss that is not finite (the folder has the weights before it), or a snapshot of another
                training.
            KeyboardInterrupt: the user stopped it; a snapshot was written first.
        """
        self._resume()
        clock = Clock(self.record.minutes) if self.record else None
        losses: list[float] = []
        group = workers()
        with Interrupts() as interrupts:
            remaining = self._descend(batches, objective, budget)
            while not group.agree(self._out_of_patience()) and (step := next(remaining, None)) is not None:
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
        """Give the prior its final weights: the best by the validation, or the average where there is no validation.

        Returns:
            The state before that, from which a longer training can continue.
        """
        if self.checks is not None and self.checks.last_step != self.optimizer.step:
            self._check(self.checks)
        snapshot = self._snapshot(finished=True)
        self.optimizer.prior.load_state_dict(self._best())
        return snapshot

    def write(self, snapshot: Snapshot) -> None:
        """Replace the folder of the record, if there is one, by the prior as it is, and ``snapshot``."""
        if self.record is not None and workers().rank == 0:
            self.record.write(self.prior, snapshot)

    def _descend(self, batches: Batches, objective: Objective, budget: Budget) -> Iterator[StepReport]:
        try:
            yield from self.optimizer.descend(batches, objective, budget)
        except InputError as error:
            if self.record is None or not self.optimizer.step:
                raise
            self._keep()  # the step was not taken, so these are good weights
            raise InputError(f"{error} The weights before that step are in {self.record.path}.") from error

    def _keep(self) -> None:
        """Write the folder as of now: the prior at its best, then back to where it is."""
        snapshot = self._snapshot(finished=False)
        own = {name: t.clone() for name, t in self.optimizer.prior.state_dict().items()}
        self.optimizer.prior.load_state_dict(self._best())
        try:
            self.write(snapshot)
        finally:
            self.optimizer.prior.load_state_dict(own)

    def _snapshot(self, *, finished: bool) -> Snapshot:
        best = self.checks.best if self.checks is not None else {}
        history = self.checks.history if self.checks is not None else []
        tensors = self.optimizer.tensors() | {f"best.{name}": t.cpu() for name, t in best.items()}
        clock = {"step": self.optimizer.step, "seconds": self.optimizer.seconds, "finished": finished}
        return Snapshot(tensors, {"format": 1, **clock, **self._fixed(), "validation": history})

    def _best(self) -> dict[str, Tensor]:
        return (self.checks.best if self.checks else None) or self.optimizer.average.module.state_dict()

    def _out_of_patience(self) -> bool:
        return self.checks is not None and self.checks.out_of_patience()

    def _check(self, checks: Checks) -> None:
        averaged: Any = self.optimizer.average.module
        self._log(checks.add(averaged, self.optimizer.step))

    def _log(self, record: Mapping[str, Any]) -> None:
        if self.record is not None and workers().rank == 0:
            for log in self.record.logs:
                log.write({name: value for name, value in record.items() if name != "number"})

    def _fixed(self) -> dict[str, Any]:
        own = {"seed": self.optimizer.seed, "settings": asdict(self.optimizer.settings), "images": self.images}
        return {**own, **self.fixed}

    def _resume(self) -> None:
        found = self.record.begin(self._fixed()) if self.record is not None else None
        if found is None:
            return
        try:
            self.optimizer.restore(found.tensors, step=found.record["step"], seconds=found.record["seconds"])
        except (RuntimeError, KeyError, ValueError) as error:
            assert self.record is not None
            raise InputError(
                f"{self.record.path} holds the training of another prior ({str(error).splitlines()[0]}); choose another"
                " folder."
            ) from error
        if self.checks is not None:
            self.checks.history = list(found.record["validation"])
            best = {name[5:]: t for name, t in found.tensors.items() if name.startswith("best.")}
            self.checks.best = {name: t.to(self.optimizer.device) for name, t in best.items()}
