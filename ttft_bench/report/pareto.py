"""The quality-versus-time frontier: settings that no other setting beats on both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from ttft_bench.report.groups import Group
from ttft_bench.report.metrics import COST, QUALITY, Metric

Item = TypeVar("Item")

#: Leaving the model alone costs nothing and keeps all of its bits: a setting above 100 BPB% is no bargain.
UNTOUCHED = (0.0, 100.0)


def frontier(
    points: Iterable[tuple[Item, float, float]],
    x: Metric = COST,
    y: Metric = QUALITY,
    reference: tuple[float, float] | None = UNTOUCHED,
) -> list[Item]:
    """Items that nothing beats, from the best ``x`` to the best ``y``.

    Args:
        points: Items with their ``x`` and ``y``.
        x: Metric of the first coordinate.
        y: Metric of the second coordinate.
        reference: A point that is always to be had; what it dominates is left out.

    An item stays if no other is at least as good on both and better on one; equal points stay together.
    """
    ordered = sorted(points, key=lambda point: (x.sort_value(point[1]), y.sort_value(point[2])))
    kept: list[Item] = []
    best = reference
    for item, cost, quality in ordered:
        if best is None or not y.at_least_as_good(best[1], quality) or (cost, quality) == best:
            kept.append(item)
            best = (cost, quality)
    return kept


def group_frontier(groups: Sequence[Group]) -> list[Group]:
    """The frontier of groups that have both a quality and a cost; controls stand beside it, not on it."""
    points = []
    for group in groups:
        cost, quality = group.value(COST), group.value(QUALITY)
        if not group.control and cost is not None and quality is not None:
            points.append((group, cost, quality))
    return frontier(points)


__all__ = ["UNTOUCHED", "frontier", "group_frontier"]
