"""Result rows one by one: what is held fixed, which of them count, seconds, medians.

Rows whose status is not ``ok`` are counted and listed, never averaged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ttft_bench.report.metrics import COST_COLUMNS, EXTRA_COST_COLUMNS, QUALITY
from ttft_bench.units import MISSING

Row = Mapping[str, Any]
#: What a reader calls rows for which nothing was picked.
UNTOUCHED = "untouched model"


@dataclass(frozen=True)
class Key:
    """What is held fixed within a group: the setting that a reader would choose."""

    strategy: str
    budget: int
    reuse_interval: int
    reuse_grouping: str
    reuse_mode: str
    arm: str = "finetune"
    lr: float | None = None
    trainable: str = ""

    @classmethod
    def of(cls, row: Row) -> Key:
        """The group that ``row`` belongs to."""
        return cls(
            strategy=strategy_of(row),
            budget=int(number(row, "budget") or 0),
            reuse_interval=int(number(row, "reuse_interval") or 1),
            reuse_grouping=str(row.get("reuse_grouping") or ""),
            reuse_mode=str(row.get("reuse_mode") or ""),
            arm=str(row.get("arm") or "finetune"),
            lr=number(row, "lr"),
            trainable=str(row.get("trainable") or ""),
        )

    @property
    def series(self) -> tuple[str, int, str, str, str, float, str]:
        """The key without its budget: the points of one line."""
        reuse = (self.reuse_interval, self.reuse_grouping, self.reuse_mode)
        return (self.strategy, *reuse, self.arm, self.lr or 0.0, self.trainable)

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was picked: a strategy, a budget and reuse then say nothing."""
        return self.arm == "none"

    @property
    def name(self) -> str:
        """The strategy as a reader would call it."""
        return UNTOUCHED if self.is_untouched else self.strategy

    @property
    def extras(self) -> str:
        """What else tells settings apart, in words; the defaults (runs, cached, finetuned) go without saying."""
        words = (self.reuse_grouping, self.reuse_mode, self.arm)
        found = [word for word in words if word not in ("", "runs", "cached", "finetune")]
        found += [f"lr={self.lr:g}"] if self.lr is not None else []
        found += [self.trainable] if self.trainable else []
        return " ".join(found)

    @property
    def reuse(self) -> str:
        """What stands in a column r: ``1`` is off, ``2 global``; a dash for the untouched model."""
        return MISSING if self.is_untouched else " ".join(filter(None, [str(self.reuse_interval), self.extras]))

    @property
    def reuse_words(self) -> str:
        """The same in running text: ``r = 2 global``, ``in-context``; no reuse goes without saying."""
        if self.is_untouched or self.reuse_interval == 1:
            return "" if self.is_untouched else self.extras
        return f"r = {self.reuse}"

    def __str__(self) -> str:
        """The setting in words: ``sift (N = 50, r = 2)``."""
        if self.is_untouched:
            return UNTOUCHED
        return f"{self.strategy} ({', '.join(filter(None, [f'N = {self.budget}', self.reuse_words]))})"


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    q25: float
    q75: float


def number(row: Row, key: str) -> float | None:
    """The finite number under ``key``, or None."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def strategy_of(row: Row) -> str:
    """The strategy of a row, with a name for none."""
    return str(row.get("strategy") or "(unnamed)")


def is_measured(row: Row) -> bool:
    """Whether a row may enter an average."""
    return row.get("status") == "ok" and number(row, QUALITY.key) is not None


def total_seconds(row: Row) -> float | None:
    """What a user waits for: the sum of the cost columns, None if one is missing that every row has."""
    parts = [number(row, column) for column in COST_COLUMNS]
    parts += [value for column in EXTRA_COST_COLUMNS if (value := number(row, column)) is not None]
    return None if any(part is None for part in parts) else sum(part for part in parts if part is not None)


def spread(values: Sequence[float]) -> Spread | None:
    """Median and quartiles, None of nothing."""
    if not values:
        return None
    q25, median, q75 = np.quantile(np.asarray(values, dtype=np.float64), [0.25, 0.5, 0.75])
    return Spread(float(median), float(q25), float(q75))


def settle(rows: Sequence[Row], columns: Sequence[str] = ("lr", "trainable")) -> list[Row]:
    """Leave out of the rows a learning rate or trainable set that is the same for all: it tells no two settings apart.

    Rows that train nothing carry neither, and do not make a difference.
    """
    same = {
        column: "" if column == "trainable" else None
        for column in columns
        if len({row.get(column) for row in rows} - {None, ""}) <= 1
    }
    return [{**row, **same} for row in rows] if same else list(rows)


def usual(rows: Sequence[Row]) -> list[Row]:
    """Rows of the most frequent learning rate and trainable set: a comparison of anything else holds them fixed."""
    count = Counter((row.get("lr"), row.get("trainable")) for row in rows)
    if not count:
        return []
    found = max(count, key=lambda pair: (count[pair], str(pair)))
    return [row for row in rows if (row.get("lr"), row.get("trainable")) == found]


__all__ = [
    "UNTOUCHED",
    "Key",
    "Row",
    "Spread",
    "is_measured",
    "number",
    "settle",
    "spread",
    "strategy_of",
    "total_seconds",
    "usual",
]
