"""``ttft-bench embedders``: what can embed texts, and whether it can be used."""

from __future__ import annotations

from typing import Annotated

import typer

from ttft_bench.cli.new import Output, asks_for_new, write_new


def embedders(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="new name", help="Write an embedder of your own under that name.", show_default=False),
    ] = None,
    output: Output = None,
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
) -> None:
    """List every installed and pinned embedder: who provides it, and whether it works.

    A folder or a model hub's name of a sentence-transformers model can be given wherever one of these can.
    """
    from rich.table import Table

    from ttft_bench.cli.console import print_json
    from ttft_bench.cli.tables import show_table
    from ttft_bench.corpus.embedder_list import list_embedders
    from ttft_bench.errors import DuplicateNameError, UsageError
    from ttft_bench.registry import EMBEDDERS, duplicate_message, duplicates
    from ttft_bench.text import printable

    words = words or []
    if asks_for_new("embedder", words, output):
        write_new("embedder", words[1], output, as_json)
        return
    if words:
        raise UsageError(f"embedders lists all of them, or takes `new NAME`, got {' '.join(words)!r}")
    rows = list_embedders()
    if as_json:
        print_json(rows)
    else:
        table = Table(box=None, pad_edge=False)
        for title in ("embedder", "distribution", "status", "summary"):
            table.add_column(title)
        for row in rows:
            told = row["summary"] if row["status"] == "ok" else f"{row['cause']}; {row['remedy']}"
            table.add_row(*(printable(cell) for cell in (row["name"], row["distribution"], row["status"], told)))
        show_table(table)
    doubled = duplicates(EMBEDDERS)
    if doubled:
        raise DuplicateNameError("; ".join(duplicate_message(found) for found in doubled.values()))


__all__ = ["embedders"]
