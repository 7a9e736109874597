"""Schedules: which item each optimizer step uses, and whether it computes a gradient. Pure data, no torch.

Gradient reuse (HullFT, arXiv 2605.30337): within a run of consecutive steps on one item, the j-th step
computes a fresh gradient when ``j % interval == 0`` and applies the last one again otherwise.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ttft_bench.engine.choices import GROUPINGS, check_choice
from ttft_bench.errors import UsageError

Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True)
class Reuse:
    """Gradient reuse: off at ``interval`` 1.

    Attributes:
        interval: compute a gradient on every ``interval``-th step of a run, reuse it on the others.
        grouping: ``runs`` keeps the order and reuses within consecutive equal items; ``global`` first
            brings equal items together at their first appearance, which changes the order.
    """

    interval: int = 1
    grouping: str = "runs"

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise UsageError(f"reuse interval must be at least 1 (1 = off), got {self.interval}")
        check_choice("reuse grouping", self.grouping, GROUPINGS)


@dataclass(frozen=True)
class Step(Generic[Item]):
    """One optimizer step on ``item``; ``fresh`` is False where the previous gradient is applied again."""

    item: Item
    fresh: bool


def build_schedule(items: Sequence[Item], reuse: Reuse | None = None) -> tuple[Step[Item], ...]:
    """Turn picks in training order into steps.

    Without reuse, and under ``runs``, the schedule of the first n items is a prefix of the schedule of
    all of them, so that one finetuning run serves several budgets; under ``global`` it is not.

    Args:
        items: what to train on, repeats included, in order.
        reuse: off if not given.
    """
    reuse = reuse or Reuse()
    ordered = _bring_together(items) if reuse.grouping == "global" and reuse.interval > 1 else list(items)
    steps: list[Step[Item]] = []
    position_in_run = 0
    for index, item in enumerate(ordered):
        position_in_run = position_in_run + 1 if index and ordered[index - 1] == item else 0
        steps.append(Step(item, fresh=position_in_run % reuse.interval == 0))
    return tuple(steps)


def _bring_together(items: Sequence[Item]) -> list[Item]:
    counts: dict[Item, int] = {}
    for item in items:
        counts[item] = counts.get(item, 0) + 1
    return [item for item, count in counts.items() for _ in range(count)]


__all__ = ["Reuse", "Step", "build_schedule"]
