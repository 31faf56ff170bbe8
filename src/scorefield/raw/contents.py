"""What a raw file holds, from its headers: for people, and for the decision whether it can be reconstructed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scorefield.errors import InputError


@dataclass(frozen=True)
class Contents:
    """A raw file in words and numbers.

    Args:
        path: the file.
        format: its name.
        coils: receive coils.
        grid: samples of the readout, lines, and partitions of a volume, as k-space is encoded.
        slices: images that can be chosen by a slice.
        echoes: those of a slice.
        repetitions: those of a slice.
        averages: the largest number of times that a line was measured.
        facts: further properties in words, by their names.
        remarks: sentences on what the file lacks, and what is done about it.
        refusal: why it cannot be reconstructed, as the end of a sentence; empty if it can.
    """

    path: Path
    format: str
    coils: int
    grid: tuple[int, ...]
    slices: int = 1
    echoes: int = 1
    repetitions: int = 1
    averages: int = 1
    facts: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    refusal: str = ""

    def check(self) -> None:
        """Raise InputError, with the reason, if the file cannot be reconstructed."""
        if self.refusal:
            raise InputError(f"{self.path} cannot be reconstructed: {self.refusal}.")

    @property
    def rows(self) -> dict[str, str]:
        """All numbers and facts, by name, in the order for a screen."""
        several = {"slices": self.slices, "echoes": self.echoes, "repetitions": self.repetitions,
                   "averages": self.averages}  # fmt: skip
        return {
            "format": self.format,
            "coils": str(self.coils),
            "encoded": " x ".join(str(n) for axis, n in enumerate(self.grid) if n > 1 or axis < 2),
            **{name: str(count) for name, count in several.items()},
            **self.facts,
        }
