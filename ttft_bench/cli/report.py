"""``ttft-bench report RUN``: table and sentence on stdout, files into the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ttft_bench.cli import complete, options
from ttft_bench.cli.console import WARNING, note, print_json, stdout, tell
from ttft_bench.cli.tables import show_table


def report(
    run: Annotated[
        Path, typer.Argument(help="Folder that a sweep wrote.", show_default=False, autocompletion=complete.run)
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of the table.")] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser afterwards.")] = False,
    falsifiers: options.Falsifiers = None,
    across_devices: options.AcrossDevices = False,
    html: Annotated[bool, typer.Option("--html/--no-html", help="Write report.html.")] = True,
) -> None:
    """Write the table, the figures and one self-contained page of a run, and print the table."""
    from ttft_bench.errors import UsageError
    from ttft_bench.report import build_report
    from ttft_bench.text import printable

    if open_page and not html:
        raise UsageError("--open has no page to open with --no-html; leave one of them out")
    claims = options.find_falsifiers(falsifiers)
    built = build_report(run, html=html, falsifiers=claims, across_devices=across_devices)
    console = stdout()
    if json:
        print_json(built.to_json())
    else:
        show_table(built.table)
        console.print()
        console.print(built.summary)
        for line in built.notes:
            console.print(f"- {line}")
    for path in built.paths:
        note(printable(str(path)))
    for fault in built.falsifier_faults:
        note(f"{WARNING}{fault}")
    if open_page:
        import webbrowser

        page = (run / "report.html").resolve()
        if not webbrowser.open(page.as_uri()):
            tell(f"{WARNING}no browser could be started; the page is {page}")


__all__ = ["report"]
