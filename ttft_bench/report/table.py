"""The table on the terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from ttft_bench.report import format as fmt
from ttft_bench.report.analysis import Analysis
from ttft_bench.report.groups import Group
from ttft_bench.report.metrics import COST
from ttft_bench.text import printable

#: Header, style and whether the column is a number.
COLUMNS: tuple[tuple[str, bool], ...] = (
    ("strategy", False),
    ("r", False),
    ("N", True),
    ("BPB%", True),
    ("95 %\ninterval", True),
    ("n", True),
    ("select", True),
    ("finetune", True),
    ("total", True),
    ("items", True),
    ("gap", True),
)

CAPTION = (
    "BPB% = 100 × bits per byte after / before finetuning, mean over n prompts: lower is better, 100 is the "
    "untouched model. Times are medians per prompt; r: gradient reuse interval, 1 = off; items: distinct "
    "items among the N picks; gap: largest certified Frank-Wolfe gap. * control."
)


def cells(analysis: Analysis, group: Group) -> list[str]:
    """One line of the table as plain text, in the order of :data:`COLUMNS`.

    Names are whole, however long: settings that are swept differ in their last parameter, and cut they would be one.
    """
    bpb, times = group.bpb, group.times
    return [
        printable(group.key.name) + ("*" if group.control else ""),
        printable(group.key.reuse),
        fmt.MISSING if group.key.is_untouched else str(group.key.budget),
        fmt.fixed(None if bpb is None else bpb.mean),
        fmt.MISSING if bpb is None else fmt.interval(bpb.low, bpb.high, bpb.n),
        analysis.coverage(group),
        *(fmt.seconds(times[key].median if key in times else None) for key in ("select_s", "finetune_s")),
        fmt.seconds(group.value(COST)),
        fmt.fixed(group.n_distinct, 1),
        fmt.gap(group.gap_max),
    ]


def build_table(analysis: Analysis) -> Table:
    """The rich table: strategies in alphabetical order, controls last and marked, never sorted by result."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, caption=CAPTION, caption_justify="left")
    for header, is_number in COLUMNS:
        if is_number:
            table.add_column(header, justify="right", no_wrap=True, vertical="bottom")
        else:
            table.add_column(header, overflow="fold", vertical="bottom")
    previous = None
    for group in analysis.groups:
        if previous is not None and previous != group.key.series:
            table.add_section()
        previous = group.key.series
        # Text, not str: whatever console prints the table, a name in brackets is never read as markup.
        table.add_row(*(Text(value) for value in cells(analysis, group)), style="italic dim" if group.control else None)
    return table


__all__ = ["CAPTION", "COLUMNS", "build_table", "cells"]
