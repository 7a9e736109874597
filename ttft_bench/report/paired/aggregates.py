"""Each setting on its own: both aggregates of quality with intervals, and times as median and inter-quartile range.

``bpb_pct_mean`` is the mean over prompts of 100 * after / before: every prompt counts the same. ``bpb_pct_corpus`` is
100 * sum of bits after / sum of bits before: every bit counts the same, so long and hard prompts count more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ttft_bench.report.metrics import COST, STAGES
from ttft_bench.report.paired.outcomes import Interval, Outcome
from ttft_bench.report.paired.prompts import by_setting, groups_of, per_prompt
from ttft_bench.report.paired.resample import interval, mean_interval, ratio
from ttft_bench.report.stats import Key, Row, Spread, is_measured, number, spread, total_seconds

TIME_COLUMNS: tuple[str, ...] = tuple(stage.key for stage in STAGES)


@dataclass(frozen=True)
class SettingSummary:
    """One setting.

    Attributes:
        key: the setting.
        bpb_pct_mean: mean of per-prompt ratios.
        bpb_pct_corpus: ratio of sums of bits; ``no data`` unless every measured row says how many bytes were scored.
        times: stage column or ``total_s`` -> median and quartiles, in seconds.
        statuses: rows by status.
    """

    key: Key
    bpb_pct_mean: Interval
    bpb_pct_corpus: Interval
    times: Mapping[str, Spread]
    statuses: Mapping[str, int]


def summarise_settings(rows: Sequence[Row]) -> tuple[SettingSummary, ...]:
    """Every setting of one scope."""
    return tuple(_summary(key, members) for key, members in by_setting(rows).items())


def bits_before(row: Row) -> float | None:
    """Bits of the prompt under the untouched model."""
    return _bits(row, "bpb_before")


def bits_after(row: Row) -> float | None:
    """Bits of the prompt after adaptation."""
    return _bits(row, "bpb_after")


def _bits(row: Row, column: str) -> float | None:
    rate, size = number(row, column), number(row, "bytes_scored")
    return None if not is_measured(row) or rate is None or size is None else rate * size


def _summary(key: Key, rows: Sequence[Row]) -> SettingSummary:
    measured = [row for row in rows if is_measured(row)]
    groups = groups_of(rows)
    quality = per_prompt(measured)
    times = {column: found for column in TIME_COLUMNS if (found := _spread(measured, column))}
    total = spread([value for row in measured if (value := total_seconds(row)) is not None])
    return SettingSummary(
        key=key,
        bpb_pct_mean=mean_interval(list(quality.values()), [groups[prompt] for prompt in quality]),
        bpb_pct_corpus=_corpus(measured, groups),
        times={**times, **({COST.key: total} if total else {})},
        statuses=dict(Counter(str(row.get("status") or "unknown") for row in rows)),
    )


def corpus_bits(measured: Sequence[Row]) -> tuple[dict[str, float], dict[str, float]] | None:
    """Bits of each prompt after and before; None where a measured prompt lacks either."""
    after, before = per_prompt(measured, bits_after), per_prompt(measured, bits_before)
    return (after, before) if per_prompt(measured).keys() == after.keys() == before.keys() else None


def _corpus(measured: Sequence[Row], groups: Mapping[str, str]) -> Interval:
    bits = corpus_bits(measured)
    if bits is None:
        return Interval(None, None, None, 0, 0, Outcome.NO_DATA)
    after, before = bits
    sums = np.array([[100 * after[prompt], before[prompt]] for prompt in after]).reshape(-1, 2)
    return interval(sums, [groups[prompt] for prompt in after], ratio)


def _spread(rows: Sequence[Row], column: str) -> Spread | None:
    return spread([value for row in rows if (value := number(row, column)) is not None])


__all__ = ["TIME_COLUMNS", "SettingSummary", "bits_after", "bits_before", "corpus_bits", "summarise_settings"]
