"""Plain statistics over result rows: means with bootstrap intervals over groups of prompts, medians of times.

Two aggregates of quality exist and never share a name. With ``b_i`` and ``a_i`` the bits per byte of prompt
``i`` before and after, and ``s_i`` its scored bytes::

    bpb_pct_mean    =  mean_i  100 * a_i / b_i                       every prompt counts the same
    bpb_pct_corpus  =  100 * (sum_i a_i * s_i) / (sum_i b_i * s_i)   every byte counts the same

Rows whose status is not ``ok`` are counted and listed, never averaged.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ttft_bench.report.metrics import COST, COST_COLUMNS, EXTRA_COST_COLUMNS, QUALITY, TIME_KEYS, Metric

#: Below this many prompts the order of means is mostly chance: intervals are printed, no ranking.
MIN_PROMPTS_TO_RANK = 30

Row = Mapping[str, Any]


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
            strategy=str(row.get("strategy") or "(unnamed)"),
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
    def reuse(self) -> str:
        """Reuse in a word: ``1`` is off; the defaults (runs, cached) go without saying."""
        words = (self.reuse_grouping, self.reuse_mode, self.arm)
        extras = [word for word in words if word not in ("", "runs", "cached", "finetune")]
        extras += [f"lr={self.lr:g}"] if self.lr is not None else []
        extras += [self.trainable] if self.trainable else []
        return " ".join([str(self.reuse_interval), *extras])

    def __str__(self) -> str:
        """The setting in words."""
        reuse = "" if self.reuse == "1" else f", reuse {self.reuse}"
        return f"{self.strategy} (N = {self.budget}{reuse})"


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` prompts with its BCa bootstrap interval over groups; too few groups have none."""

    mean: float
    low: float | None
    high: float | None
    n: int

    def overlaps(self, other: Estimate) -> bool | None:
        """Whether two intervals share a point; None where one of them is missing."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return None
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    q25: float
    q75: float


@dataclass(frozen=True)
class Group:
    """All rows of one setting. ``bpb`` is None where not one of them succeeded."""

    key: Key
    control: bool
    prompts: frozenset[str]
    bpb: Estimate | None
    bpb_pct_corpus: float | None
    times: Mapping[str, Spread] = field(default_factory=dict)
    n_distinct: float | None = None
    gap_max: float | None = None
    statuses: Mapping[str, int] = field(default_factory=dict)

    def value(self, metric: Metric) -> float | None:
        """The group's figure for a metric: the mean of quality, the median of a time."""
        if metric is QUALITY:
            return None if self.bpb is None else self.bpb.mean
        spread = self.times.get(metric.key)
        return None if spread is None else spread.median


def number(row: Row, key: str) -> float | None:
    """The finite number under ``key``, or None."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _outcome(row: Row) -> str:
    status = str(row.get("status") or "unknown")
    return "not finite" if status == "ok" and not is_measured(row) else status


def is_measured(row: Row) -> bool:
    """Whether a row may enter an average."""
    return row.get("status") == "ok" and number(row, QUALITY.key) is not None


def total_seconds(row: Row) -> float | None:
    """What a user waits for: the sum of the cost columns, None if one is missing that every row has."""
    parts = [number(row, column) for column in COST_COLUMNS]
    parts += [value for column in EXTRA_COST_COLUMNS if (value := number(row, column)) is not None]
    return None if any(part is None for part in parts) else sum(part for part in parts if part is not None)


def estimate(quality: Mapping[str, float], groups: Mapping[str, str] | None = None) -> Estimate | None:
    """Mean over prompts with its 95 % interval, the one of paired statistics.

    Args:
        quality: the value of each prompt.
        groups: the group of each prompt, if prompts belong together; whole groups are drawn.
    """
    if not quality:
        return None
    # Here, not above: paired statistics stand on this module.
    from ttft_bench.report.paired.resample import mean_interval

    names = [prompt if groups is None else groups[prompt] for prompt in quality]
    found = mean_interval(list(quality.values()), names)
    assert found.value is not None
    return Estimate(found.value, found.low, found.high, found.n_prompts)


def spread(values: Sequence[float]) -> Spread | None:
    """Median and quartiles, None of nothing."""
    if not values:
        return None
    q25, median, q75 = np.quantile(np.asarray(values, dtype=np.float64), [0.25, 0.5, 0.75])
    return Spread(float(median), float(q25), float(q75))


def per_prompt_quality(rows: Iterable[Row]) -> dict[str, float]:
    """Mean ``bpb_pct`` of each prompt (over seeds, where there are several), in order of prompt id."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        value = number(row, QUALITY.key)
        if is_measured(row) and value is not None:
            found[str(row.get("prompt_id"))].append(value)
    return {prompt: sum(values) / len(values) for prompt, values in sorted(found.items())}


def corpus_ratio(rows: Sequence[Row]) -> float | None:
    """100 * sum of bits after / sum of bits before; None unless every row has what it takes."""
    before = after = 0.0
    for row in rows:
        parts = [number(row, key) for key in ("bpb_before", "bpb_after", "bytes_scored")]
        if parts[0] is None or parts[1] is None or parts[2] is None:
            return None
        before += parts[0] * parts[2]
        after += parts[1] * parts[2]
    return 100 * after / before if before > 0 else None


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


def aggregate(rows: Iterable[Row], controls: frozenset[str] = frozenset()) -> tuple[Group, ...]:
    """Group rows by setting; strategies in alphabetical order (never by result), controls last."""
    members: defaultdict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        members[Key.of(row)].append(row)
    keys = sorted(members, key=lambda key: (key.strategy in controls, key.series, key.budget))
    return tuple(_group(key, members[key], key.strategy in controls) for key in keys)


def _group(key: Key, rows: Sequence[Row], control: bool) -> Group:
    from ttft_bench.report.paired.prompts import groups_of

    measured = [row for row in rows if is_measured(row)]
    quality = per_prompt_quality(measured)
    times = {}
    for column in TIME_KEYS:
        values = (total_seconds(row) if column == COST.key else number(row, column) for row in measured)
        found = spread([value for value in values if value is not None])
        if found is not None:
            times[column] = found
    distinct = _numbers(measured, "n_distinct")
    return Group(
        key=key,
        control=control,
        prompts=frozenset(quality),
        bpb=estimate(quality, groups_of(measured)),
        bpb_pct_corpus=corpus_ratio(measured),
        times=times,
        n_distinct=sum(distinct) / len(distinct) if distinct else None,
        gap_max=max(_numbers(measured, "gap"), default=None),
        statuses=Counter(_outcome(row) for row in rows),
    )


def _numbers(rows: Iterable[Row], key: str) -> list[float]:
    return [value for row in rows if (value := number(row, key)) is not None]


__all__ = [
    "MIN_PROMPTS_TO_RANK",
    "Estimate",
    "Group",
    "Key",
    "Row",
    "Spread",
    "aggregate",
    "corpus_ratio",
    "estimate",
    "is_measured",
    "number",
    "per_prompt_quality",
    "settle",
    "spread",
    "total_seconds",
]
