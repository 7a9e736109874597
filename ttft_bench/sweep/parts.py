"""Parts of a suite beside its settings: controls, variants of the settings, and figures that others published."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ttft_bench.corpus.sources import RANDOM
from ttft_bench.engine.choices import GROUPINGS, check_choice
from ttft_bench.errors import UsageError

#: What a published figure may be of; ``ttft_bench/report/published.py`` says how each is measured.
QUANTITIES = ("bpb_pct", "select_s", "total_s", "finetune_speedup", "bpb_pct_rise")


@dataclass(frozen=True)
class ControlSpec:
    """A control, run at the largest budget only.

    Attributes:
        label: its name in rows and reports.
        strategy: its spec.
        pool: where its candidates come from, as ``pool.source``.
    """

    label: str
    strategy: str
    pool: str = RANDOM


@dataclass(frozen=True)
class Variant:
    """Settings that replace those of the suite in one of its runs.

    A table ``[[variants]]`` of a suite file, e.g. ``label = "k50"`` and ``pool.k = 50``: whatever it does not name
    is the suite's.

    Attributes:
        label: names the run's folder; letters, digits and ``._+-``.
        changes: section of the suite -> key -> value.
    """

    label: str
    changes: Mapping[str, Mapping[str, Any]]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", self.label):
            raise UsageError(f"variant {self.label!r} must be named by letters, digits and ._+-: it names a folder")
        if not any(self.changes.values()):
            raise UsageError(f"variant {self.label} changes nothing: give it a setting such as pool.k = 50")


def refuse_twice(what: str, parts: Sequence[ControlSpec | Variant], why: str) -> None:
    """Refuse two parts with one label.

    Args:
        what: what they are, for the message.
        parts: all of them.
        why: reason and remedy.

    Raises:
        UsageError: naming the label.
    """
    labels = [part.label for part in parts]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise UsageError(f"{what} {twice} is given twice: {why}")


@dataclass(frozen=True)
class Figure:
    """One published figure, and which rows it is to stand beside.

    Attributes:
        quantity: one of :data:`QUANTITIES`.
        strategies: specs it is of, ``name[...]`` for every variant of a name and ``*`` for all; of several the best.
        value: as published; in percent, seconds, or for a speedup a ratio.
        at_s: for ``bpb_pct``, total seconds per prompt at which it holds.
        budget: number of steps N; None for all of them together or, with ``bpb_pct``, the best.
        reuse: reuse interval r; None for any.
        grouping: how reuse groups steps; empty for any.
        subset: domain; empty for all prompts.
    """

    quantity: str
    strategies: tuple[str, ...]
    value: float
    at_s: float | None = None
    budget: int | None = None
    reuse: int | None = None
    grouping: str = ""
    subset: str = ""

    def __post_init__(self) -> None:
        check_choice("published quantity", self.quantity, QUANTITIES)
        if self.grouping:
            check_choice("published grouping", self.grouping, GROUPINGS)
        if self.at_s is not None and self.quantity != "bpb_pct":
            raise UsageError(f"at_s belongs to bpb_pct, not to {self.quantity}: leave it out")
        if self.quantity in ("finetune_speedup", "bpb_pct_rise") and (self.reuse or 0) < 2:
            raise UsageError(f"{self.quantity} compares reuse with none: give reuse, at least 2")


@dataclass(frozen=True)
class Published:
    """Figures that others published for the protocol of a suite.

    Attributes:
        source: where they stand.
        device: what they were measured on.
        figures: the figures.
    """

    source: str
    device: str
    figures: tuple[Figure, ...]


__all__ = ["QUANTITIES", "ControlSpec", "Figure", "Published", "Variant", "refuse_twice"]
