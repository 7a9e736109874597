"""The table of every setting: sortable, filterable, and what downloads carry."""

from __future__ import annotations

from collections.abc import Sequence

from ttft_bench.report import format as fmt
from ttft_bench.report.groups import Group
from ttft_bench.report.metrics import COST
from ttft_bench.report.page import tables
from ttft_bench.report.page.tables import Cell, Column, Kind, Line, Table
from ttft_bench.report.paired.aggregates import SettingSummary
from ttft_bench.report.paired.compare import Comparison
from ttft_bench.report.stats import Spread
from ttft_bench.report.view import View
from ttft_bench.text import printable

_TIMES = (("select_s", "select"), ("finetune_s", "finetune"), (COST.key, "total"))


def settings_table(views: Sequence[View]) -> Table:
    """One line per setting of every scope; strategies in alphabetical order, controls last, never by result."""
    several = len(views) > 1
    lines = [line for view in views for line in _lines(view, several)]
    reference = printable(views[0].found.reference, limit=40) if views else ""
    return Table("settings", "Every setting", _columns(several, reference), tuple(lines))


def _columns(several: bool, reference: str) -> tuple[Column, ...]:
    found = [Column("strategy", "strategy", False)]
    found += [Column("scope", "rows with", False)] if several else []
    found += [
        Column("reuse", "r", False, help="gradient reuse: a gradient serves r steps, 1 = off; then other settings"),
        Column("budget_n", "N", help="budget: picks asked for, as a rule a training step each"),
        Column("bpb_pct_mean", "BPB%", help="mean of per-prompt ratios: every prompt counts the same"),
        Column("bpb_pct_mean_low", "", hidden=True),
        Column("bpb_pct_mean_high", "", hidden=True),
        Column(
            "difference",
            f"minus {reference}" if reference else "minus reference",
            help="BPB% minus that of the reference on the same prompts at the same N; below 0 is better",
        ),
        Column("difference_low", "", hidden=True),
        Column("difference_high", "", hidden=True),
        Column("verdict", "verdict", False, help="of the paired difference"),
        Column("win_tie_loss", "won / tied / lost", False, help="prompts, against the reference"),
        Column("bpb_pct_corpus", "corpus BPB%", help="ratio of summed bits: every byte counts the same"),
        Column("bpb_pct_corpus_low", "", hidden=True),
        Column("bpb_pct_corpus_high", "", hidden=True),
        Column("n_prompts", "n", help="prompts measured"),
        Column("n_groups", "", hidden=True),
    ]
    for key, label in _TIMES:
        found.append(Column(f"{key}_median", label, help="median per prompt, quartiles below"))
        found += [Column(f"{key}_{quartile}", "", hidden=True) for quartile in ("q25", "q75")]
    return (
        *found,
        Column("n_distinct_mean", "distinct items", help="distinct items among the N picks"),
        Column("gap_max", "gap", help="largest Frank-Wolfe gap: no solution can be better by more"),
        Column("n_failed", "failed", help="rows that did not succeed; never averaged"),
        Column("on_frontier", "", False, hidden=True),
        Column("control", "", False, hidden=True),
    )


def _lines(view: View, several: bool) -> list[Line]:
    part = view.found.parts[0]
    compared = {item.setting: item for item in part.family.comparisons}
    alone = {key for key, _ in part.family.left_out}
    summaries = {item.key: item for item in part.summaries}
    timed = {group.key: group for group in view.timed.groups}
    found = []
    for group in view.analysis.groups:
        kind: Kind = "control" if group.control else "frontier" if group.key in _frontier(view) else ""
        beside = "control" if group.control and not group.key.is_untouched else ""
        cells = [Cell(tables.text(group.key.name).shown, small=beside)]
        cells += [tables.text(view.name)] if several else []
        cells += [tables.text(group.key.reuse), tables.count(None if group.key.is_untouched else group.key.budget)]
        # The reference is compared with no other; so is what has no partner, an arm or a budget that it lacks.
        is_reference = group.key.strategy == view.found.reference and group.key not in {*compared, *alone}
        said = "reference" if is_reference else fmt.MISSING
        cells += _quality(group, compared.get(group.key), summaries.get(group.key), view.analysis.coverage(group), said)
        times = timed.get(group.key)
        for key, _ in _TIMES:
            cells += _time(None if times is None else times.times.get(key))
        failed = sum(count for status, count in group.statuses.items() if status != "ok")
        cells += [
            tables.number(group.n_distinct, 1),
            Cell(fmt.gap(group.gap_max), group.gap_max),
            tables.count(failed),
            tables.text("yes" if kind == "frontier" else "no"),
            tables.text("yes" if group.control else "no"),
        ]
        found.append(Line(tuple(cells), kind))
    return found


def _frontier(view: View) -> set[object]:
    return {group.key for group in view.timed.frontier}


def _quality(
    group: Group, compared: Comparison | None, summary: SettingSummary | None, coverage: str, said: str
) -> list[Cell]:
    """Quality and its paired difference; ``said`` stands for a verdict where nothing was compared."""
    bpb, corpus = group.bpb, None if summary is None else summary.bpb_pct_corpus
    difference = None if compared is None else compared.difference
    return [
        tables.estimate(bpb),
        tables.bare(None if bpb is None else bpb.low),
        tables.bare(None if bpb is None else bpb.high),
        tables.estimate(difference),
        tables.bare(None if difference is None else difference.low),
        tables.bare(None if difference is None else difference.high),
        tables.text(said) if compared is None else tables.verdict(compared.verdict),
        Cell("" if compared is None else f"{compared.wins} / {compared.ties} / {compared.losses}"),
        tables.estimate(corpus),
        tables.bare(None if corpus is None else corpus.low),
        tables.bare(None if corpus is None else corpus.high),
        Cell(coverage, len(group.prompts)),
        tables.bare(None if summary is None else summary.bpb_pct_mean.n_groups),
    ]


def _time(found: Spread | None) -> list[Cell]:
    bounds = (None, None) if found is None else (found.q25, found.q75)
    return [tables.seconds(found), *map(tables.bare, bounds)]


__all__ = ["settings_table"]
