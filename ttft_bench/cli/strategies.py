"""``ttft-bench strategies``: what is installed, and whether it can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ttft_bench.cli.new import Output, asks_for_new, write_new

if TYPE_CHECKING:
    from rich.table import Table

    from ttft_bench.registry import Row


def strategies(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="new name", help="Write a strategy of your own under that name.", show_default=False),
    ] = None,
    output: Output = None,
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
) -> None:
    """List every installed strategy: who provides it, whether it works, what it needs.

    `strategies new NAME` writes a complete distribution with a strategy that works, its tests and a README.
    """
    from dataclasses import asdict

    from ttft_bench.cli.console import print_json
    from ttft_bench.cli.tables import show_table
    from ttft_bench.errors import DuplicateNameError, UsageError
    from ttft_bench.registry import duplicate_message, duplicates, list_selectors

    words = words or []
    if asks_for_new("strategy", words, output):
        write_new("strategy", words[1], output, as_json)
        return
    if words:
        raise UsageError(f"strategies lists all of them, or takes `new NAME`, got {' '.join(words)!r}")
    rows = list_selectors()
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        show_table(_table(rows))
    doubled = duplicates()
    if doubled:
        raise DuplicateNameError("; ".join(duplicate_message(found) for found in doubled.values()))


def _table(rows: list[Row]) -> Table:
    from rich.table import Table

    from ttft_bench.text import printable

    table = Table(box=None, pad_edge=False)
    for title in ("strategy", "distribution", "built in", "status", "requires", "claims", "summary"):
        table.add_column(title)
    for row in rows:
        summary = row.summary if row.status == "ok" else f"{row.cause}; {row.remedy}"
        requires = ", ".join(row.requires)
        source = f"{row.distribution} {row.version}"
        cells = (
            row.name,
            source,
            "yes" if row.built_in else "no",
            row.status,
            requires,
            _claims(row),
            summary,
        )
        table.add_row(*(printable(cell) for cell in cells))
    return table


def _claims(row: Row) -> str:
    """What the strategy claims about its picks; nothing is known of one that cannot be imported."""
    if row.status in {"broken", "duplicate"}:
        return ""
    return " ".join(flag for flag in ("nested", "adaptive", "repeats", "stochastic") if getattr(row, flag))
