"""The report: statistics, table, figures and one self-contained page from the rows of a run.

Imports no torch, so that a report builds on a laptop. Light to import: matplotlib, scipy and jinja2 are
loaded by the functions that need them.
"""

from __future__ import annotations

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
    """What was written, and what to print: the table, one sentence, and what to know before comparing."""

    paths: tuple[Path, ...]
    table: Table
    summary: str
    notes: tuple[str, ...]
    analysis: Analysis

    def to_json(self) -> dict[str, Any]:
        """The report as plain data."""
        from ttft_bench.report.plain import analysis_to_json

        told = {"summary": self.summary, "notes": list(self.notes)}
        return {**told, **analysis_to_json(self.analysis), "paths": [str(path) for path in self.paths]}


def build_report(path: Path, html: bool = True) -> Report:
    """Write the tables, the figures and (unless ``html`` is false) the page of the run in folder ``path``.

    Files are written under a temporary name and renamed, so that a reader never sees half of one.

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
    return _write(run, html)


def _write(run: Run, html: bool) -> Report:
    from ttft_bench.report.analysis import analyse
    from ttft_bench.report.markdown import build_markdown
    from ttft_bench.report.pictures import draw_files, draw_inline
    from ttft_bench.report.published import beside_published, published_markdown
    from ttft_bench.report.summary import notes, summarise
    from ttft_bench.report.table import build_table

    analysis = analyse(run.rows, run.manifest)
    told = (*(printable(warning) for warning in run.warnings), *notes(analysis))
    summary = summarise(analysis)
    contents = {f"figures/{name}": content for name, content in draw_files(analysis).items()}
    page = build_markdown(analysis, run.manifest, summary, told)
    beside = published_markdown(beside_published(run.rows, run.manifest))
    contents["README.md"] = (f"{page}\n{beside.rstrip()}\n" if beside else page).encode("utf-8")
    if html:
        from ttft_bench.report.html import build_html

        contents["report.html"] = build_html(analysis, run.manifest, draw_inline(analysis), told).encode("utf-8")
    written = [run.path / name for name in ("results.csv", "results.parquet")]
    for name, content in contents.items():
        target = run.path / name
        with replacing(target, _REMEDY) as handle:
            handle.write(content)
        written.append(target)
    return Report(tuple(written), build_table(analysis), summary, told, analysis)


__all__ = ["Report", "build_report"]
