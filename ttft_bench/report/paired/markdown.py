"""The tables of paired statistics as Markdown; text from rows is escaped."""

from __future__ import annotations

from collections.abc import Sequence

from ttft_bench.report import format as fmt
from ttft_bench.report.markdown import plain
from ttft_bench.report.metrics import COST
from ttft_bench.report.paired.aggregates import SettingSummary
from ttft_bench.report.paired.at_time import TimeTable
from ttft_bench.report.paired.compare import TIE_BPB_PCT, Family, ForestLine
from ttft_bench.report.paired.outcomes import MIN_GROUPS, MIN_PROMPTS, Interval, Outcome
from ttft_bench.report.paired.significance import EQUIVALENCE_MARGIN, Test

FAMILY_CAPTION = (
    "Difference: mean over prompts of setting minus reference, in points of BPB% (below 0: better), with its 95 % "
    "BCa bootstrap interval over groups. Wilcoxon: signed-rank p-value of groups, corrected after Holm over this "
    f"table. TOST: p-value for a difference beyond ±{EQUIVALENCE_MARGIN} (equivalent: below 0.05, and the interval "
    f"within ±{EQUIVALENCE_MARGIN}). Below {MIN_PROMPTS} prompts or {MIN_GROUPS} groups nothing is decided. "
    f"Tie: less than {TIE_BPB_PCT} apart."
)
TIMES_CAPTION = (
    "BPB% within T seconds per prompt (select + finetune, and reading a context), interpolated on the lower envelope "
    "of each line's own settings; intervals as above. Dash: no setting is that fast."
)


def figure(found: Interval | None, decimals: int = 2) -> str:
    """``-1.20 (-2.00 to -0.41)``; without an interval, the outcome in its place; a dash for nothing."""
    if found is None or found.value is None:
        return fmt.MISSING if found is None or found.outcome is Outcome.NOT_REACHED else str(found.outcome)
    if found.low is None or found.high is None:
        return f"{found.value:.{decimals}f} ({found.outcome})"
    return fmt.with_bounds(found.value, found.low, found.high, decimals)


def p_value(test: Test) -> str:
    """``0.013``, ``< 0.001``, or the outcome."""
    return str(test.outcome) if test.p is None else "< 0.001" if test.p < 0.001 else f"{test.p:.3f}"


def lines(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 1) -> list[str]:
    """A Markdown table; columns from ``numbers`` on are aligned to the right."""
    rule = "|" + "|".join("---" if place < numbers else "---:" for place in range(len(header))) + "|"
    return [f"| {' | '.join(header)} |", rule, *(f"| {' | '.join(map(plain, row))} |" for row in rows)]


def summary_lines(summaries: Sequence[SettingSummary]) -> list[str]:
    """Both aggregates and times of every setting."""
    rows = [
        [
            str(item.key),
            figure(item.bpb_pct_mean),
            figure(item.bpb_pct_corpus),
            str(item.bpb_pct_mean.n_prompts),
            str(item.bpb_pct_mean.n_groups),
            fmt.spread(item.times.get(COST.key)),
        ]
        for item in summaries
    ]
    return lines(
        ("setting", "BPB%, mean of prompts", "BPB%, corpus ratio", "prompts", "groups", "time, median (IQR)"), rows
    )


def family_lines(family: Family) -> list[str]:
    """Every comparison of a family, and what had no partner."""
    rows = [
        [
            str(item.setting),
            str(item.reference),
            figure(item.difference),
            p_value(item.by_group.wilcoxon_holm),
            p_value(item.by_group.tost),
            f"{item.wins} / {item.ties} / {item.losses}",
            str(item.difference.n_prompts),
            item.verdict,
        ]
        for item in family.comparisons
    ]
    header = ("setting", "reference", "difference", "Wilcoxon", "TOST", "win / tie / loss", "prompts", "verdict")
    left = [f"- {plain(key)} is not compared: {plain(reason)}" for key, reason in family.left_out]
    return [*lines(header, rows, 2), *([""] if left else []), *left]


def forest_lines(found: Sequence[ForestLine]) -> list[str]:
    """The lines of a forest plot."""
    rows = [
        [
            line.part,
            figure(line.comparison.difference),
            f"{line.comparison.wins} / {line.comparison.ties} / {line.comparison.losses}",
            str(line.comparison.difference.n_prompts),
            line.comparison.verdict,
        ]
        for line in found
    ]
    return lines(("prompts of", "difference", "win / tie / loss", "prompts", "verdict"), rows)


def time_lines(table: TimeTable) -> list[str]:
    """BPB% of every line at every time, and what is not in it."""
    rows = [
        [line.label, *(figure(table.at(line.label, time).bpb_pct) for time in table.times_s)] for line in table.lines
    ]
    left = [f"- {plain(key)} is not in the table: {plain(reason)}" for key, reason in table.left_out]
    header = ("line", *(f"T = {fmt.seconds(time)}" for time in table.times_s))
    return [*lines(header, rows), *([""] if left else []), *left]


__all__ = [
    "FAMILY_CAPTION",
    "TIMES_CAPTION",
    "family_lines",
    "figure",
    "forest_lines",
    "lines",
    "p_value",
    "summary_lines",
    "time_lines",
]
