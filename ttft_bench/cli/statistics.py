"""``ttft-bench statistics RUN``: paired statistics and the answers to three questions, as Markdown or JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ttft_bench.cli import complete, options
from ttft_bench.cli.console import WARNING, note, print_json


def statistics(
    run: Annotated[
        Path,
        typer.Argument(help="Folder that a sweep or a merge wrote.", show_default=False, autocompletion=complete.run),
    ],
    reference: Annotated[
        str | None,
        typer.Option("--reference", help="Strategy that others are compared with; the plan's first by default."),
    ] = None,
    by: Annotated[
        Literal["all", "stratum", "subset"],
        typer.Option("--by", help="Tables of all prompts alone, or also by stratum or subset."),
    ] = "all",
    at: Annotated[
        str | None, typer.Option("--at", help="Seconds per prompt for quality at equal time, e.g. 1.75,2.00.")
    ] = None,
    falsifiers: options.Falsifiers = None,
    across_devices: options.AcrossDevices = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of Markdown.")] = False,
) -> None:
    """Compare strategies prompt by prompt, and answer what a reader asks, with a verdict for each question."""
    from ttft_bench.errors import SuiteError
    from ttft_bench.report.findings import find
    from ttft_bench.report.findings_markdown import findings_markdown

    found = find(
        run,
        by=by,
        reference=reference,
        times_s=options.parse_seconds(at, "--at"),
        falsifiers=options.find_falsifiers(falsifiers),
        across_devices=across_devices,
    )
    for warning in found.warnings:
        note(f"{WARNING}{warning}")
    if json:
        print_json(found.to_json())
    else:
        typer.echo(findings_markdown(found), nl=False)
    if found.falsifier_faults:  # the rest is told first: it does not hang on them
        raise SuiteError("; ".join(found.falsifier_faults))


__all__ = ["statistics"]
