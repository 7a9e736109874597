"""What the page and the figures show of each scope: its rows, its analysis, its findings, and one look per strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ttft_bench.report.analysis import Analysis, analyse, control_labels
from ttft_bench.report.findings import Findings, Scope
from ttft_bench.report.paired.split import QUALITY_SCOPE, SCOPE_COLUMNS, split_scopes, split_shuffled, timed_alike
from ttft_bench.report.palette import markers, styles
from ttft_bench.report.stats import Key, Row, settle


@dataclass(frozen=True)
class View:
    """One scope.

    Attributes:
        name: what tells the scope from others; empty if there is only one.
        rows: its rows, learning rates settled.
        analysis: of all of them.
        timed: analysis of the rows whose times compare.
        found: statistics and answers.
        looks: colour and dash of each strategy, the same in every scope.
        marks: marker of each reuse setting, likewise.
    """

    name: str
    rows: tuple[Row, ...]
    analysis: Analysis
    timed: Analysis
    found: Scope
    looks: Mapping[str, tuple[str, str]]
    marks: Mapping[str, str]


def views(
    rows: Sequence[Row], manifest: Mapping[str, Any], findings: Findings, across_devices: bool = False
) -> tuple[View, ...]:
    """A view of each scope of the findings, made from the same rows in the same way."""
    true, _ = split_shuffled(rows)
    parts = split_scopes(true, QUALITY_SCOPE if across_devices else SCOPE_COLUMNS)
    looks = styles((str(row.get("strategy")) for row in true), control_labels(manifest))
    marks = markers(Key.of(row).reuse for part in parts.values() for row in settle(part))
    found = []
    for scope, (name, part) in zip(findings.scopes, parts.items(), strict=True):
        settled, timed = settle(part), timed_alike(part)
        analysis = analyse(part, manifest)
        same = analysis if len(timed) == len(part) else analyse(timed, manifest)
        found.append(View(name, tuple(settled), analysis, same, scope, looks, marks))
    return tuple(found)


__all__ = ["View", "views"]
