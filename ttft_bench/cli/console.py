"""The two consoles of the command line: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def stdout() -> Console:
    """Console for results. Markup is off: text from a corpus is never read as formatting."""
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, emoji=False, width=200)
    return console


def stderr() -> Console:
    """Console for progress, notes and errors."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)


def note(message: str) -> None:
    """Print one line of progress on stderr."""
    stderr().print(message)


def progress_bar() -> Progress:
    """A progress bar with counts and an estimate; silent when stderr is not a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=stderr(),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


__all__ = ["note", "progress_bar", "stderr", "stdout"]
