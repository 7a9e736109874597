"""``ttft-bench compare RUN_A RUN_B``: what changed, as Markdown or JSON on stdout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ttft_bench.cli import complete
from ttft_bench.cli.console import print_json


def compare(
    run_a: Annotated[
        Path, typer.Argument(help="Folder of the run before.", show_default=False, autocompletion=complete.run)
    ],
    run_b: Annotated[
        Path, typer.Argument(help="Folder of the run after.", show_default=False, autocompletion=complete.run)
    ],
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of Markdown.")] = False,
) -> None:
    """Say which settings of two runs differ, and how quality and time changed, prompt by prompt."""
    from ttft_bench.report.versus import compare_runs, versus_markdown

    found = compare_runs(run_a, run_b)
    if json:
        print_json(found.to_json())
    else:
        typer.echo(versus_markdown(found), nl=False)


__all__ = ["compare"]
