"""Tables of the page's other sections: equal times, questions, falsifiers, failures, and the figures' own numbers."""

from __future__ import annotations

from collections.abc import Sequence

from ttft_bench.report import format as fmt
from ttft_bench.report.analysis import Incident
from ttft_bench.report.charts.model import Bars, Chart, Points
from ttft_bench.report.page import tables
from ttft_bench.report.page.tables import Column, Table
from ttft_bench.report.paired.at_time import TimeTable
from ttft_bench.report.paired.outcomes import Outcome
from ttft_bench.report.questions.breakeven import BreakEven
from ttft_bench.report.questions.evaluate import Finding
from ttft_bench.report.questions.regimes import RegimeMap
from ttft_bench.report.questions.residual import ResidualAnswer


def times_table(key: str, found: TimeTable, heading: str) -> Table:
    """BPB% at every time of every line that reaches one of them; ``heading`` says what a line is."""
    columns = [Column("line", heading, False)]
    columns += [Column(f"bpb_pct_at_{time:.4g}_s", f"T = {fmt.seconds(time)}") for time in found.times_s]
    lines = []
    for line in found.lines:
        if line.label in unreached(found):
            continue
        cells = [tables.estimate(found.at(line.label, time).bpb_pct) for time in found.times_s]
        lines.append([tables.text(line.label), *cells])
    return tables.table(key, "BPB% within T seconds per prompt", columns, lines)


def unreached(found: TimeTable) -> tuple[str, ...]:
    """Lines whose fastest setting takes longer than every time of the table."""
    return tuple(
        line.label
        for line in found.lines
        if all(found.at(line.label, time).bpb_pct.outcome is Outcome.NOT_REACHED for time in found.times_s)
    )


def residual_table(answer: ResidualAnswer) -> Table:
    """The correlations of question 1."""
    columns = (
        Column("correlation", "between", False),
        Column("rho", "Spearman's rho, mean"),
        Column("n_prompts", "prompts"),
        Column("n_selections", "selections"),
    )
    lines = [
        (
            tables.text(item.name),
            tables.estimate(item.mean),
            tables.count(len(item.prompts)),
            tables.count(sum(prompt.n_selections for prompt in item.prompts)),
        )
        for item in answer.correlations
    ]
    return tables.table("correlation", "Rank correlations within prompts", columns, lines)


def break_even_table(items: Sequence[BreakEven]) -> Table:
    """After how many later tokens finetuning has paid."""
    columns = (
        Column("finetuned", "finetuned, against the same picks in context", False),
        Column("tokens", "tokens until it pays"),
        Column("once_finetune_s", "once"),
        Column("once_context_s", "once, context"),
        Column("token_finetune_s", "a token"),
        Column("token_context_s", "a token, context"),
        Column("difference", "BPB% difference"),
    )
    lines = []
    for item in items:
        times = (item.once_finetune_s, item.once_context_s, item.token_finetune_s, item.token_context_s)
        lines.append(
            (
                tables.text(item.finetuned),
                tables.Cell(fmt.MISSING, small=item.in_words) if item.in_words else tables.estimate(item.tokens, 0),
                *(tables.Cell(fmt.seconds(time), time) for time in times),
                tables.estimate(item.quality.difference),
            )
        )
    return tables.table("break-even", "Later tokens until finetuning has paid", columns, lines)


def regime_table(found: RegimeMap) -> Table:
    """Bins of prompt length and neighbour similarity."""
    columns = (
        Column("tokens_from", "tokens", help="scored tokens of the prompt"),
        Column("similarity_from", "nearest neighbour's cosine"),
        Column("n_prompts", "prompts"),
        Column("difference", f"BPB% against {found.rival}"),
    )
    lines = [
        (
            tables.Cell(fmt.between(*item.tokens, 0), item.tokens[0]),
            tables.Cell(fmt.between(*item.similarity), item.similarity[0]),
            tables.count(item.n_prompts),
            tables.estimate(item.difference),
        )
        for item in found.regimes
    ]
    said = f"Finetuning against {found.rival}, {found.setting}"
    return tables.table(f"regimes-{found.rival}", tables.text(said, 300).shown, columns, lines)


def falsifier_table(findings: Sequence[Finding]) -> Table:
    """Question 3: every claim with its verdict."""
    columns = (
        Column("id", "claim", False),
        Column("verdict", "verdict", False),
        Column("why", "why", False),
        Column("falsified_if", "falsified if", False),
        Column("comparison", "comparison and threshold", False),
        Column("suite", "decided by", False),
    )
    lines = [
        (
            tables.Cell(tables.text(item.falsifier.id).shown, small=tables.text(item.falsifier.claim, 400).shown),
            tables.verdict(item.ruling),
            tables.text(item.why, 400),
            tables.text(item.falsifier.falsified_if, 400),
            tables.text(f"{item.falsifier.comparison.replace('`', '')}; {item.falsifier.threshold}", 600),
            tables.text(item.falsifier.suite),
        )
        for item in findings
    ]
    return tables.table("falsifiers", "Claims and what would falsify them", columns, lines)


def incident_table(key: str, caption: str, items: Sequence[Incident]) -> Table:
    """Rows that share a setting, a status and a reason."""
    columns = (
        Column("strategy", "strategy", False),
        Column("reuse", "r", False),
        Column("budget_n", "N"),
        Column("status", "status", False),
        Column("n_rows", "rows"),
        Column("reason", "reason", False),
        Column("subsets", "subsets", False),
    )
    lines = [
        (
            tables.text(item.key.name),
            tables.text(item.key.reuse),
            tables.count(None if item.key.is_untouched else item.key.budget),
            tables.text(item.status, 40),
            tables.count(item.count),
            tables.text(item.reason or "no reason recorded", 600),
            tables.text(", ".join(item.subsets)),
        )
        for item in items
    ]
    return tables.table(key, caption, columns, lines)


def chart_table(chart: Chart) -> Table | None:
    """What a chart's points say, in words: the figure for whoever cannot see it or point at it."""
    told = [
        (panel.title, words)
        for panel in chart.panels
        for mark in panel.marks
        if isinstance(mark, Points | Bars)
        for words in mark.hover
    ]
    if not told:
        return None
    has_titles = any(title for title, _ in told)
    width = max(len(words) for _, words in told)
    columns = [*([Column("panel", "panel", False)] if has_titles else [])]
    columns += [
        Column(f"figure_{place}" if place else "point", "" if place else "point", False) for place in range(width)
    ]
    lines = [
        [
            *([tables.text(title)] if has_titles else []),
            *(tables.text(word) for word in words),
            *(tables.text("") for _ in range(width - len(words))),
        ]
        for title, words in told
    ]
    return tables.table(f"{chart.key}-points", chart.title, columns, lines)


__all__ = [
    "break_even_table",
    "chart_table",
    "falsifier_table",
    "incident_table",
    "regime_table",
    "residual_table",
    "times_table",
]
