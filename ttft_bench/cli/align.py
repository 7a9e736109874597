"""``ttft-bench align RUN``: gradient alignment of every row, into a side file that statistics and report read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ttft_bench.cli import complete
from ttft_bench.cli.console import print_json, stdout
from ttft_bench.cli.progress import ConsoleReporter
from ttft_bench.errors import EXIT_INTERRUPTED


def align(
    run: Annotated[
        Path, typer.Argument(help="Folder that a sweep wrote.", show_default=False, autocompletion=complete.run)
    ],
    picks: Annotated[
        Path | None,
        typer.Option("--picks", help="Folder of its picks, with the texts; the run's own if it selected itself."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    weights: Annotated[
        str, typer.Option("--weights", help="Whose gradients: last[k=1], the last block; bias+norm; full.")
    ] = "last[k=1]",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a line.")] = False,
) -> None:
    """Compute how far picks' gradients point where the prompt's does: a mechanism behind residual and gain."""
    from ttft_bench.sweep.alignment import align_run

    with ConsoleReporter() as reporter:
        try:
            written = align_run(run, reporter, picks=picks, device=device, weights=weights)
        except KeyboardInterrupt:
            reporter.tell(f"interrupted; the same command goes on, what is computed is kept in {run}")
            raise typer.Exit(EXIT_INTERRUPTED) from None
    if as_json:
        return print_json({"run": str(run), "rows": written})
    stdout().print(f"{written} rows aligned in {run}")
    return None


__all__ = ["align"]
