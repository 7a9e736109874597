"""What a run is asked for, whom it tells how it gets on, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ttft_bench.engine.choices import BACKENDS, check_choice
from ttft_bench.engine.settings import check_lanes
from ttft_bench.sweep.suite import Suite


class Reporter(Protocol):
    """Where a run tells how it is getting on."""

    def note(self, message: str) -> None:
        """One line worth reading."""

    def progress(self, stage: str, done: float, total: float) -> None:
        """``done`` of ``total`` units of a stage."""


@dataclass(frozen=True)
class Request:
    """What to run.

    Attributes:
        suite: the suite, flags applied.
        folder: the run folder.
        limit: at most so many prompts per subset.
        device: ``auto``, ``cpu``, ``cuda``, ...
        picks: finetune from the picks of this folder instead of selecting.
        argv: the command line, for the record.
        backend: how steps are executed: ``auto``, ``eager`` or ``compiled``.
        lanes: prompts to work on at once on the device.

    Raises:
        UsageError: no such backend, fewer than one lane, or dropout in several.
    """

    suite: Suite
    folder: Path
    limit: int | None = None
    device: str = "auto"
    picks: Path | None = None
    argv: tuple[str, ...] = ()
    backend: str = "auto"
    lanes: int = 1

    def __post_init__(self) -> None:
        # Told before anything is planned, so that a dry run refuses what the run would.
        check_choice("backend", self.backend, BACKENDS)
        check_lanes(self.lanes, self.suite.finetune.dropout)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: cells of its plan by status."""

    folder: Path
    ok: int
    failed: int


__all__ = ["Outcome", "Reporter", "Request"]
