"""Rows grouped by setting: means with bootstrap intervals over groups of prompts, medians of times.

Two aggregates of quality exist and never share a name. With ``b_i`` and ``a_i`` the bits per byte of prompt
``i`` before and after, and ``s_i`` its scored bytes::

    bpb_pct_mean    =  mean_i  100 * a_i / b_i                       every prompt counts the same
    bpb_pct_corpus  =  100 * (sum_i a_i * s_i) / (sum_i b_i * s_i)   every byte counts the same
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ttft_bench.report.metrics import COST, QUALITY, TIME_KEYS, Metric
from ttft_bench.report.paired.aggregates import corpus_bits
from ttft_bench.report.paired.prompts import groups_of, per_prompt
from ttft_bench.report.paired.resample import mean_interval
from ttft_bench.report.stats import Key, Row, Spread, is_measured, number, spread, total_seconds

#: Below this many prompts the order of means is mostly chance: intervals are printed, no ranking.
MIN_PROMPTS_TO_RANK = 30


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


def estimate(quality: Mapping[str, float], groups: Mapping[str, str] | None = None) -> Estimate | None:
    """Mean over prompts with its 95 % interval, the one of paired statistics.

    Args:
        quality: the value of each prompt.
        groups: the group of each prompt, if prompts belong together; whole groups are drawn.
    """
    if not quality:
        return None
    names = [prompt if groups is None else groups[prompt] for prompt in quality]
    found = mean_interval(list(quality.values()), names)
    assert found.value is not None
    return Estimate(found.value, found.low, found.high, found.n_prompts)


def aggregate(rows: Iterable[Row], controls: frozenset[str] = frozenset()) -> tuple[Group, ...]:
    """Group rows by setting; strategies in alphabetical order (never by result), controls last."""
    members: defaultdict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        members[Key.of(row)].append(row)
    keys = sorted(members, key=lambda key: (key.strategy in controls, key.series, key.budget))
    return tuple(_group(key, members[key], key.strategy in controls) for key in keys)


def _group(key: Key, rows: Sequence[Row], control: bool) -> Group:
    measured = [row for row in rows if is_measured(row)]
    quality = per_prompt(measured)
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
        bpb_pct_corpus=_corpus_ratio(measured),
        times=times,
        n_distinct=sum(distinct) / len(distinct) if distinct else None,
        gap_max=max(_numbers(measured, "gap"), default=None),
        statuses=Counter(_outcome(row) for row in rows),
    )


def _corpus_ratio(measured: Sequence[Row]) -> float | None:
    bits = corpus_bits(measured)
    total = sum(bits[1].values()) if bits else 0.0
    return 100 * sum(bits[0].values()) / total if bits and total > 0 else None


def _outcome(row: Row) -> str:
    status = str(row.get("status") or "unknown")
    return "not finite" if status == "ok" and not is_measured(row) else status


def _numbers(rows: Iterable[Row], key: str) -> list[float]:
    return [value for row in rows if (value := number(row, key)) is not None]


__all__ = ["MIN_PROMPTS_TO_RANK", "Estimate", "Group", "aggregate", "estimate"]
