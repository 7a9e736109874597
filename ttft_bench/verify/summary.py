"""Means and worst cases over pools, and the rows as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean
from typing import Any

from ttft_bench.selector import CERTIFICATE_TOLERANCE
from ttft_bench.verify.rows import VerifyRow

_MEANS = (
    "objective", "gap", "optimum", "true_gap", "residual",
    "support", "reference_support", "select_s", "reference_s",
)  # fmt: skip
_INTEGER_MEANS = ("integer_residual", "integer_optimum", "integer_excess", "integer_s")


@dataclass(frozen=True)
class VerifySummary:
    """Means over pools of one strategy at one budget, and the worst cases.

    The integer figures are None where no integer optimum was sought; ``integer_hits`` of ``integer_pools``
    roundings are as good as the best whole steps.
    """

    strategy: str
    budget: int
    pools: int
    objective: float
    gap: float
    optimum: float
    true_gap: float
    residual: float
    support: float
    reference_support: float
    select_s: float
    reference_s: float
    worst_gap: float
    worst_true_gap: float
    worst_accuracy: float
    failures: int
    integer_pools: int = 0
    integer_hits: int = 0
    integer_residual: float | None = None
    integer_optimum: float | None = None
    integer_excess: float | None = None
    integer_s: float | None = None
    worst_integer_excess: float | None = None


def summarise(rows: Iterable[VerifyRow]) -> list[VerifySummary]:
    """Means and worst cases per strategy and budget, in order of first appearance."""
    groups: dict[tuple[str, int], list[VerifyRow]] = {}
    for row in rows:
        groups.setdefault((row.strategy, row.budget), []).append(row)
    summaries = []
    for (strategy, budget), group in groups.items():
        small = [row for row in group if row.integer_excess is not None]
        excesses = [row.integer_excess for row in small if row.integer_excess is not None]
        summaries.append(
            VerifySummary(
                strategy=strategy,
                budget=budget,
                pools=len(group),
                **{name: fmean(getattr(row, name) for row in group) for name in _MEANS},
                worst_gap=max(row.gap for row in group),
                worst_true_gap=max(row.true_gap for row in group),
                worst_accuracy=max(row.accuracy for row in group),
                failures=sum(not row.ok for row in group),
                integer_pools=len(small),
                integer_hits=sum(excess <= CERTIFICATE_TOLERANCE for excess in excesses),
                worst_integer_excess=max(excesses, default=None),
                **_integer_means(small),
            )
        )
    return summaries


def _integer_means(small: Sequence[VerifyRow]) -> dict[str, Any]:
    return {name: fmean(getattr(row, name) for row in small) for name in _INTEGER_MEANS} if small else {}


def rows_to_csv(rows: Sequence[VerifyRow]) -> str:
    """One line per row under a line of field names; what was not sought is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(VerifyRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


__all__ = ["VerifySummary", "rows_to_csv", "summarise"]
