"""``ttft-bench suites``: what is installed, what it answers, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ttft_bench.cli import complete
from ttft_bench.cli.new import Output, asks_for_new, write_new

if TYPE_CHECKING:
    from rich.table import Table

    from ttft_bench.sweep.catalogue import Listed


def suites(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="name | new name",
            help="One suite, or a suite file (TOML), in full; with `new`, write one of your own under that name.",
            show_default=False,
            autocompletion=complete.suite_or_file,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    output: Output = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of benchmarks/README.md.")] = False,
) -> None:
    """List the suites with what they cost; say everything about one; or write a new one.

    Costs are counted from the plan, at most, and turned by measured rates into about the time they take on an otherwise
    idle machine; nothing is fetched or run.
    """
    from ttft_bench.cli.console import print_json
    from ttft_bench.cli.tables import show_table
    from ttft_bench.errors import DuplicateNameError, UsageError
    from ttft_bench.registry import SUITES, duplicate_message, duplicates
    from ttft_bench.sweep.catalogue import find_suite, list_suites
    from ttft_bench.sweep.catalogue import markdown as as_markdown

    words = words or []
    if asks_for_new("suite", words, output):
        write_new("suite", words[1], output, json)
        return
    if len(words) > 1:
        raise UsageError(f"suites takes one name, or `new NAME`, got {' '.join(words)!r}")
    name = words[0] if words else None
    if markdown and (json or name):
        raise UsageError("--markdown prints the table of all suites: leave out the name and --json")
    listed = [find_suite(name)] if name else list_suites()
    doubled = duplicates(SUITES)
    if json:
        found = [item.to_json() for item in listed]
        print_json(found[0] if name else found)
    elif markdown:
        typer.echo(as_markdown(listed), nl=False)
    else:
        show_table(_table(listed, name))
    if doubled and not name:
        raise DuplicateNameError("; ".join(duplicate_message(found) for found in doubled.values()))


def _table(listed: list[Listed], name: str | None) -> Table:
    """All of them, a line each; or the facts about the one that was named."""
    from rich.table import Table

    from ttft_bench.sweep.catalogue import HEADER, facts, line
    from ttft_bench.text import printable

    table = Table(box=None, pad_edge=False, show_header=name is None)
    if name:
        table.add_column(overflow="fold")
        table.add_column(overflow="fold")
        for title, text in facts(listed[0]):
            table.add_row(title, printable(text))
        return table
    for title in HEADER:
        table.add_column(title, overflow="fold", justify="left" if title in HEADER[:2] else "right")
    for item in listed:
        table.add_row(*(printable(cell) for cell in line(item)))
    return table


__all__ = ["suites"]
