"""The run folder's README: sentence, picture, table and how it was made, readable where the run is kept."""

from __future__ import annotations

import html
import shlex
from collections.abc import Mapping
from typing import Any

from ttft_bench.report.analysis import Analysis
from ttft_bench.report.table import CAPTION, COLUMNS, cells
from ttft_bench.text import printable


def build_markdown(
    analysis: Analysis, manifest: Mapping[str, Any], summary: str, notes: tuple[str, ...], picture: str = ""
) -> str:
    """Write the page; every name in it is escaped. ``picture`` is the path of the figure to show, if there is one."""
    suite = manifest.get("suite") or {}
    lines = [f"# Run of suite {plain(suite.get('name', 'unnamed'))}", ""]
    if suite.get("purpose"):
        lines += [plain(f"{str(suite['purpose'])[:1].upper()}{str(suite['purpose'])[1:]}."), ""]
    lines += [plain(summary), ""]
    lines += [f"![BPB% against time per prompt]({picture})", ""] if picture else []
    lines += [*table_lines(analysis), "", plain(CAPTION), ""]
    lines += [f"- {plain(note)}" for note in notes]
    return "\n".join([*lines, *(["", *_origin(manifest)] if manifest else [])]).rstrip() + "\n"


def table_lines(analysis: Analysis) -> list[str]:
    """The table of results as Markdown lines, in the order of the terminal's."""
    header = "| " + " | ".join(title.replace("\n", " ") for title, _ in COLUMNS) + " |"
    rule = "|" + "|".join("---:" if is_number else "---" for _, is_number in COLUMNS) + "|"
    rows = ["| " + " | ".join(plain(cell) for cell in cells(analysis, group)) + " |" for group in analysis.groups]
    return [header, rule, *rows]


def _origin(manifest: Mapping[str, Any]) -> list[str]:
    provenance = manifest.get("provenance") or {}
    lines = []
    if provenance.get("argv"):
        lines += ["Made by", "", f"    {printable(shlex.join(map(str, provenance['argv'])))}", ""]
    walls = (manifest.get("wall_s") or {}).items()
    stages = [f"{name} {seconds:.0f} s" for name, seconds in walls if isinstance(seconds, int | float)]
    facts = {
        "version": provenance.get("ttft_bench"),
        "commit": provenance.get("commit"),
        "machine": provenance.get("gpu") or provenance.get("cpu"),
        "threads": provenance.get("threads"),
        "python": provenance.get("python"),
        "torch": (provenance.get("packages") or {}).get("torch"),
        "wall time": ", ".join(stages),
    }
    return lines + [f"- {key}: {plain(value)}" for key, value in facts.items() if value]


def plain(value: object) -> str:
    """Text that Markdown shows as it is: no tags, no table bars, no emphasis, no links."""
    text = html.escape(printable(str(value)), quote=False)
    for mark in "\\|*_`[]":
        text = text.replace(mark, f"\\{mark}")
    return text


__all__ = ["build_markdown", "plain", "table_lines"]
