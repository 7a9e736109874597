"""The report: statistics, table, figures and one self-contained page from the rows of a run.

Imports no torch, so that a report builds on a laptop. Light to import: matplotlib, plotly, scipy and jinja2
are loaded by the functions that need them.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttft_bench.errors import DataError
from ttft_bench.files import replacing
from ttft_bench.text import printable

if TYPE_CHECKING:
    from rich.table import Table

    from ttft_bench.report.analysis import Analysis
    from ttft_bench.sweep.store import Run


_REMEDY = "Free some space or make the folder writable, then run `ttft-bench report` again (the rows are safe)"


@dataclass(frozen=True)
class Report:
    """What was written, and what to print.

    Attributes:
        paths: files that were written.
        table: the table.
        summary: one sentence.
        notes: what to know before comparing.
        analysis: the figures.
        falsifier_faults: what is wrong with files of falsifiers that cannot be read; the page says it too.
    """

    paths: tuple[Path, ...]
    table: Table
    summary: str
    notes: tuple[str, ...]
    analysis: Analysis
    falsifier_faults: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The report as plain data."""
        from ttft_bench.report.plain import analysis_to_json

        told = {"summary": self.summary, "notes": list(self.notes)}
        told["falsifier_faults"] = list(self.falsifier_faults)
        return {**told, **analysis_to_json(self.analysis), "paths": [str(path) for path in self.paths]}


def build_report(
    path: Path, html: bool = True, *, falsifiers: Sequence[Path] = (), across_devices: bool = False
) -> Report:
    """Write the tables, the figures and (unless ``html`` is false) the page of the run in folder ``path``.

    Files are written under a temporary name and renamed, so that a reader never sees half of one.

    Args:
        path: a run folder.
        html: whether to write the page.
        falsifiers: files of falsifiers, whose verdicts the page shows; one that cannot be used is a line of the page.
        across_devices: compare qualities of rows from different devices, backends and numbers of lanes.

    Raises:
        UsageError: The folder does not exist.
        DataError: The folder holds no run, or a run without a single row.
        StorageError: A file cannot be written.
    """
    from ttft_bench.sweep.store import load_run, write_tables

    run = load_run(path)
    if not run.rows:
        raise DataError(f"the run in '{path}' has no rows yet, so there is nothing to report; run or resume its sweep")
    write_tables(run)
    return _write(run, html, falsifiers, across_devices)


def _write(run: Run, html: bool, falsifiers: Sequence[Path] = (), across_devices: bool = False) -> Report:
    from ttft_bench.report.analysis import analyse
    from ttft_bench.report.charts import charts_of
    from ttft_bench.report.findings import find_in, read_rows
    from ttft_bench.report.markdown import build_markdown
    from ttft_bench.report.pictures import draw_files
    from ttft_bench.report.published import published_markdown
    from ttft_bench.report.questions import read_files
    from ttft_bench.report.summary import notes, summarise_views
    from ttft_bench.report.table import build_table
    from ttft_bench.report.view import views

    rows, warnings = read_rows(run)
    analysis = analyse(rows, run.manifest)
    claims, faults = read_files(falsifiers)
    findings = find_in(
        rows,
        run.manifest,
        by="stratum" if any(row.get("stratum") for row in rows) else "all",
        claims=claims,
        faults=faults,
        across_devices=across_devices,
    )
    told = (*(printable(warning) for warning in warnings), *notes(analysis))
    scopes = views(rows, run.manifest, findings, across_devices)
    summary = summarise_views(scopes)
    charts = [charts_of(view) for view in scopes]
    contents: dict[str, bytes] = {}
    for place, own in enumerate(charts):
        folder = "figures" if place == 0 else f"figures/scope-{place + 1}"
        contents |= {f"{folder}/{name}": content for name, content in draw_files(own).items()}
    picture = "figures/quality_vs_time.png"
    readme = build_markdown(analysis, run.manifest, summary, told, picture if picture in contents else "")
    beside = published_markdown(findings.published)
    contents["README.md"] = (f"{readme}\n{beside.rstrip()}\n" if beside else readme).encode("utf-8")
    unwritten = _no_page(run.path) if html else ()
    if html and not unwritten:
        from ttft_bench.report.page import build_page

        table = run.path / "results.parquet"
        parquet = table.read_bytes() if table.is_file() else b""
        page = build_page(scopes, charts, findings, run.manifest, summary, told, parquet)
        contents["report.html"] = page.encode("utf-8")
    written = [run.path / name for name in ("results.csv", "results.parquet")]
    for name, content in contents.items():
        target = run.path / name
        with replacing(target, _REMEDY) as handle:
            handle.write(content)
        written.append(target)
    return Report(tuple(written), build_table(analysis), summary, (*told, *unwritten), analysis, faults)


def _no_page(path: Path) -> tuple[str, ...]:
    """Why the page cannot be drawn here, if so: where only the rows are made, nothing of them may look lost."""
    try:
        import plotly  # noqa: F401
    except ImportError:
        command = shlex.join(["ttft-bench", "report", str(path)])
        return (f"report.html was not written: plotly is not installed (pip install plotly); then: {command}",)
    return ()


__all__ = ["Report", "build_report"]
