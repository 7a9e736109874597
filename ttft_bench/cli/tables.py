"""Tables on stdout: whole wherever they are shown, as no cell may be lost to a narrow terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.measure import Measurement
from rich.padding import Padding
from rich.text import Text

from ttft_bench.cli.console import stdout

if TYPE_CHECKING:
    from rich.table import Table

#: More than any table is wide.
_WIDEST = 10_000


def show_table(table: Table) -> None:
    """Print a table.

    Into a file or pipe a row is one line, so that it can be searched. On a terminal too narrow for the longest words,
    where names would be cut and columns dropped, each row is a paragraph of its own instead.
    """
    console = stdout()
    need = Measurement.get(console, console.options.update(max_width=_WIDEST), table)
    if not console.is_terminal:
        console.width = max(need.maximum, 1)
    if need.minimum <= console.width:
        console.print(table, soft_wrap=False)
        return
    columns = [
        (" ".join(_plain(column.header).split()), [_plain(cell) for cell in column.cells]) for column in table.columns
    ]
    for first, *rest in zip(*(cells for _, cells in columns), strict=True):
        pairs = zip((title for title, _ in columns[1:]), rest, strict=True)
        told = "; ".join(f"{title}: {cell}" if title else cell for title, cell in pairs if cell)
        console.print(Text(first, style="bold"), soft_wrap=True)
        console.print(Padding(Text(told), (0, 0, 0, 2)), soft_wrap=False)
    if table.caption:
        console.print(_plain(table.caption), soft_wrap=True)


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)


__all__ = ["show_table"]
