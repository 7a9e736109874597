"""Schedules: which item each optimizer step uses, and how its gradient comes about. Pure data, no torch.

Gradient reuse (HullFT, arXiv 2605.30337): a run of c consecutive steps on one item is cut into groups of up
to r, the interval. What becomes of a group of g steps is the mode:

``cached``
    g steps: the first computes a gradient, the others apply it again (the published method);
``skip``
    one ordinary step, so that the run takes ceil(c/r) steps instead of c;
``scale-lr``
    one step, its learning rate multiplied by g;
``weighted-loss``
    one step, its loss multiplied by g. Under SGD this is ``scale-lr``. Adam divides by the size of the gradient, so
    that it is ``skip`` where all groups are of one size, and never a longer step; see ``benchmarks/README.md``.

The last three are the controls that any claim for reuse needs: they compute as many gradients. At r = 1
every mode is the same as no reuse.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, TypeVar

from ttft_bench.engine.choices import GROUPINGS, REUSE_MODES, check_choice
from ttft_bench.errors import UsageError

Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True)
class Reuse:
    """Gradient reuse: off at ``interval`` 1.

    Attributes:
        interval: how many steps of a run share one gradient.
        grouping: ``runs`` keeps the order and reuses within consecutive equal items; ``global`` first
            brings equal items together at their first appearance, which changes the order.
        mode: what becomes of steps that share a gradient: cached | skip | scale-lr | weighted-loss.
    """

    interval: int = 1
    grouping: str = "runs"
    mode: str = "cached"

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise UsageError(f"reuse interval must be at least 1 (1 = off), got {self.interval}")
        check_choice("reuse grouping", self.grouping, GROUPINGS)
        check_choice("reuse mode", self.mode, REUSE_MODES)


@dataclass(frozen=True)
class Step(Generic[Item]):
    """One optimizer step.

    Attributes:
        item: what it trains on.
        fresh: False where the previous gradient is applied again.
        lr_scale: factor on the learning rate.
        loss_weight: factor on the loss, and so on the gradient.
    """

    item: Item
    fresh: bool
    lr_scale: float = 1.0
    loss_weight: float = 1.0


@dataclass(frozen=True)
class Batch(Generic[Item]):
    """Several items that one step trains on."""

    items: tuple[Item, ...]


def make_batches(items: Sequence[Item], size: int) -> list[Item | Batch[Item]]:
    """Group every ``size`` consecutive items into one; the last group may be smaller. Size 1 changes nothing."""
    if size == 1:
        return list(items)
    return [Batch(tuple(items[start : start + size])) for start in range(0, len(items), size)]


def parts_of(item: Hashable) -> tuple[Hashable, ...]:
    """The items of a batch; an item that is no batch is its own only part."""
    return item.items if isinstance(item, Batch) else (item,)


def build_schedule(items: Sequence[Item], reuse: Reuse | None = None) -> tuple[Step[Item], ...]:
    """Turn picks in training order into steps.

    Without reuse, and under ``runs`` with the modes ``cached`` and ``skip``, the schedule of the first n
    items is a prefix of the schedule of all of them, so that one finetuning run serves several budgets. It
    is not under ``global``, nor where the size of a group enters its step.

    Args:
        items: what to train on, repeats included, in order.
        reuse: off if not given.
    """
    reuse = reuse or Reuse()
    ordered = _bring_together(items) if reuse.grouping == "global" and reuse.interval > 1 else items
    steps: list[Step[Item]] = []
    for item, size in _groups(ordered, reuse.interval):
        if reuse.mode == "cached":
            steps.append(Step(item, fresh=True))
            steps.extend(Step(item, fresh=False) for _ in range(size - 1))
        elif reuse.mode == "skip":
            steps.append(Step(item, fresh=True))
        elif reuse.mode == "scale-lr":
            steps.append(Step(item, fresh=True, lr_scale=float(size)))
        else:
            steps.append(Step(item, fresh=True, loss_weight=float(size)))
    return tuple(steps)


def _groups(items: Sequence[Item], interval: int) -> Iterator[tuple[Item, int]]:
    """Cut every run of equal items into groups of at most ``interval``."""
    for item, run in groupby(items):
        left = len(list(run))
        while left > 0:
            yield item, min(interval, left)
            left -= interval


def _bring_together(items: Sequence[Item]) -> list[Item]:
    counts: dict[Item, int] = {}
    for item in items:
        counts[item] = counts.get(item, 0) + 1
    return [item for item, count in counts.items() for _ in range(count)]


__all__ = ["Batch", "Reuse", "Step", "build_schedule", "make_batches", "parts_of"]
