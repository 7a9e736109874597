"""The answers as Markdown; text from rows is escaped."""

from __future__ import annotations

from collections.abc import Sequence

from ttft_bench.report import format as fmt
from ttft_bench.report.markdown import plain
from ttft_bench.report.paired.markdown import TIMES_CAPTION, figure, lines, time_lines
from ttft_bench.report.questions.breakeven import BreakEven
from ttft_bench.report.questions.evaluate import Finding
from ttft_bench.report.questions.falsifiers import RULE
from ttft_bench.report.questions.regimes import RegimeMap
from ttft_bench.report.questions.residual import ResidualAnswer
from ttft_bench.report.questions.worth import WorthAnswer


def residual_lines(answer: ResidualAnswer) -> list[str]:
    """Question 1: verdict and correlations."""
    rows = [
        [item.name, figure(item.mean), str(len(item.prompts)), str(sum(prompt.n_selections for prompt in item.prompts))]
        for item in answer.correlations
    ]
    table = lines(("Spearman's rho within prompts", "mean (95 %)", "prompts", "selections"), rows)
    return [f"**{plain(answer.verdict)}**", "", *table]


def worth_lines(answer: WorthAnswer) -> list[str]:
    """Question 2: verdicts, equal times, break-even, regimes."""
    found = [f"- **{plain(verdict)}**" for verdict in answer.verdicts]
    found += ["", *time_lines(answer.table), "", plain(TIMES_CAPTION)]
    if answer.break_even:
        found += ["", *_break_even_lines(answer.break_even)]
    for regimes in answer.regimes:
        found += ["", *_regime_lines(regimes)]
    return found


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Question 3: every claim with its verdict."""
    rows = [[item.falsifier.id, item.falsifier.claim, item.ruling, item.why, item.falsifier.suite] for item in findings]
    return [*lines(("id", "claim", "verdict", "why", "decided by suite"), rows, 5), "", plain(RULE.replace("*", ""))]


def _break_even_lines(items: Sequence[BreakEven]) -> list[str]:
    rows = [
        [
            str(item.finetuned),
            fmt.seconds(item.once_finetune_s),
            fmt.seconds(item.once_context_s),
            fmt.seconds(item.token_finetune_s),
            fmt.seconds(item.token_context_s),
            item.in_words or figure(item.tokens, 0),
            figure(item.quality.difference),
        ]
        for item in items
    ]
    header = (
        "finetuned, against the same picks in context",
        "once",
        "once, context",
        "a token",
        "a token, context",
        "tokens until it pays",
        "BPB% difference",
    )
    return lines(header, rows)


def _regime_lines(found: RegimeMap) -> list[str]:
    if not found.regimes:
        return [f"No map against {plain(found.rival)}: {plain(found.reason)}."]
    rows = [
        [
            fmt.between(*item.tokens, 0),
            fmt.between(*item.similarity),
            str(item.n_prompts),
            figure(item.difference),
        ]
        for item in found.regimes
    ]
    header = ("tokens", "nearest neighbour's cosine", "prompts", f"BPB% against {plain(found.rival)}")
    said = f"{plain(found.setting)}; below 0: finetuning is better."
    return [*lines(header, rows, 2), "", said]


__all__ = ["finding_lines", "residual_lines", "worth_lines"]
