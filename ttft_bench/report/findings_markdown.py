"""All findings as one Markdown text."""

from __future__ import annotations

from ttft_bench.report.findings import Findings, Scope
from ttft_bench.report.markdown import plain
from ttft_bench.report.paired.markdown import (
    FAMILY_CAPTION,
    TIMES_CAPTION,
    family_lines,
    forest_lines,
    summary_lines,
    time_lines,
)
from ttft_bench.report.published import published_markdown
from ttft_bench.report.questions.markdown import finding_lines, residual_lines, worth_lines


def findings_markdown(findings: Findings) -> str:
    """The whole text; every name in it is escaped."""
    lines = ["# Statistics", ""]
    lines += [f"- {plain(warning)}" for warning in findings.warnings]
    for scope in findings.scopes:
        lines += _scope_lines(scope)
    if findings.published:
        lines += [published_markdown(findings.published)]
    if findings.falsifiers or findings.falsifier_faults:
        lines += ["## What would falsify the claims?", ""]
        lines += [f"**{plain(fault)}.**\n" for fault in findings.falsifier_faults]
        lines += finding_lines(findings.falsifiers) if findings.falsifiers else []
    return "\n".join(lines).rstrip() + "\n"


def _scope_lines(scope: Scope) -> list[str]:
    lines = [f"## Rows with {plain(scope.name)}", ""] if scope.name else []
    for part in scope.parts:
        where = "" if part.name == "all" else f": {plain(part.name)}"
        lines += [f"### Settings{where}", "", *summary_lines(part.summaries), ""]
        lines += [f"### Against {plain(scope.reference)}{where}", "", *family_lines(part.family), ""]
        lines += [f"### BPB% at equal time{where}", "", *time_lines(part.times), ""]
    lines += [plain(FAMILY_CAPTION), "", plain(TIMES_CAPTION), ""]
    for forest in scope.forests:
        title = f"### {plain(forest.setting)} against {plain(forest.reference)}, by subset"
        lines += [title, "", *forest_lines(forest.lines), ""]
    lines += ["### Residual and gain", "", *residual_lines(scope.residual), ""]
    return [*lines, "### Worth the time", "", *worth_lines(scope.worth), ""]


__all__ = ["findings_markdown"]
