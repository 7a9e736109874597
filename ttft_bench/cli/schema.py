"""``ttft-bench schema``: every column of a result row with type, unit and meaning."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer


def schema(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page reports/SCHEMA.md.")] = False,
) -> None:
    """List the columns of a result row."""
    from rich.table import Table

    from ttft_bench.cli.console import print_json
    from ttft_bench.cli.tables import show_table
    from ttft_bench.errors import UsageError
    from ttft_bench.sweep.schema import FIELDS, SCHEMA_VERSION, schema_markdown

    if json and markdown:
        raise UsageError("--json and --markdown exclude each other; leave one of them out")
    if json:
        columns = [asdict(field) for field in FIELDS]
        print_json({"schema_version": SCHEMA_VERSION, "columns": columns})
    elif markdown:
        typer.echo(schema_markdown(), nl=False)
    else:
        table = Table(box=None, pad_edge=False)
        for title in ("column", "type", "unit", "since", "meaning"):
            table.add_column(title, overflow="fold")
        for field in FIELDS:
            table.add_row(field.name, field.kind, field.unit, str(field.since), field.meaning)
        show_table(table)


__all__ = ["schema"]
