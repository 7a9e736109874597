"""``ttft-bench merge RUNS... --output DIR``: several runs as one, with the origin of each; conflicts are named."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ttft_bench.cli import complete


def merge(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders; of conflicting cells the first one's are kept.", autocompletion=complete.run),
    ],
    output: Annotated[Path, typer.Option("--output", help="New run folder.", show_default=False)],
    compress: Annotated[
        bool,
        typer.Option("--compress", help="Write results.jsonl.gz and the like: a run to be kept."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Make one run of several. Exit code 1 if runs disagree about a cell; the merged run is written all the same."""
    from ttft_bench.cli.console import WARNING, note, print_json, stdout
    from ttft_bench.errors import EXIT_CELLS_FAILED
    from ttft_bench.sweep.merge import merge_runs
    from ttft_bench.text import printable

    found = merge_runs(runs, output, compress=compress)
    if json:
        print_json(found.to_json())
    else:
        for label, count in found.by_run.items():
            stdout().print(printable(f"{label}: {count} cells"))
        counts = f"{found.repeated} held twice alike, {found.replaced} failed in one run and succeeded in another"
        told = f"{found.path}: {found.rows} cells; {counts}, {len(found.conflicts)} in conflict"
        stdout().print(printable(told))
        for item in found.conflicts:
            columns = ", ".join(item.columns)
            told = f"conflict in {item.kind}: {item.what} (cell {item.cell_id}): {columns} differ; kept {item.kept}"
            stdout().print(printable(f"{told}, dropped {item.dropped}"))
    for warning in found.warnings:
        note(f"{WARNING}{warning}")
    if found.conflicts:
        raise typer.Exit(EXIT_CELLS_FAILED)


__all__ = ["merge"]
