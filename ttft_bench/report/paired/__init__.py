"""Paired statistics over prompts: differences with intervals and tests, aggregates, quality at equal time.

Everything here takes rows of one scope (see :func:`split_scopes`) whose learning rates are settled
(:func:`ttft_bench.report.stats.settle`), and gives plain dataclasses. scipy and statsmodels do the statistics. What
cannot be computed has a named :class:`Outcome`.
"""

from __future__ import annotations

from ttft_bench.report.paired.aggregates import SettingSummary, summarise_settings
from ttft_bench.report.paired.at_time import AtTime, Line, Point, TimeTable, bpb_at_times, line_label
from ttft_bench.report.paired.compare import (
    TIE_BPB_PCT,
    Comparison,
    Family,
    ForestLine,
    compare,
    compare_all,
    family,
    forest,
)
from ttft_bench.report.paired.outcomes import MIN_GROUPS, MIN_PROMPTS, Interval, Outcome
from ttft_bench.report.paired.significance import EQUIVALENCE_MARGIN, Significance, Test
from ttft_bench.report.paired.split import BY, By, split_rows, split_scopes, split_shuffled

__all__ = [
    "BY",
    "EQUIVALENCE_MARGIN",
    "MIN_GROUPS",
    "MIN_PROMPTS",
    "TIE_BPB_PCT",
    "AtTime",
    "By",
    "Comparison",
    "Family",
    "ForestLine",
    "Interval",
    "Line",
    "Outcome",
    "Point",
    "SettingSummary",
    "Significance",
    "Test",
    "TimeTable",
    "bpb_at_times",
    "compare",
    "compare_all",
    "family",
    "forest",
    "line_label",
    "split_rows",
    "split_scopes",
    "split_shuffled",
    "summarise_settings",
]
