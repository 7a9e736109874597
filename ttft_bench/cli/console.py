"""The two consoles of the command line: results on stdout, progress and errors on stderr.

What is said on stderr depends on the flags that every command has (:mod:`ttft_bench.cli.everywhere`): ``--quiet`` drops
progress, never warnings and errors; ``--verbose`` adds times.
"""

from __future__ import annotations

import json
import math
import sys
import time
from enum import Enum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ttft_bench.text import printable

#: How notes begin that ``--quiet`` lets through.
WARNING = "warning: "


class Level(Enum):
    """How much is said on stderr."""

    QUIET = "quiet"
    NORMAL = "normal"
    VERBOSE = "verbose"


class _Said:
    """The level of the command that runs, and when it began (``time.perf_counter``)."""

    level = Level.NORMAL
    start = time.perf_counter()


def set_level(level: Level) -> None:
    """Say so much from now on, and count ``--verbose``'s seconds from here."""
    _Said.level, _Said.start = level, time.perf_counter()


def verbose() -> bool:
    """Whether ``--verbose`` was given."""
    return _Said.level is Level.VERBOSE


def stdout() -> Console:
    """Console for results; long lines are left to the terminal (tables: :mod:`ttft_bench.cli.tables`).

    Markup is off: text from a corpus is never read as formatting.
    """
    return Console(markup=False, highlight=False, emoji=False, soft_wrap=True)


def stderr() -> Console:
    """Console for progress, notes and errors."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)


def note(message: str, console: Console | None = None) -> None:
    """Print one line of progress on stderr, unless ``--quiet`` was given and it is no warning."""
    if _Said.level is not Level.QUIET or message.startswith(WARNING):
        tell(message, console)


def tell(message: str, console: Console | None = None) -> None:
    """Print one line on stderr whatever the flags: what a user must know."""
    elapsed = f"[{time.perf_counter() - _Said.start:7.2f} s] " if verbose() else ""
    (console or stderr()).print(elapsed + printable(message))


def print_json(value: Any) -> None:
    """Print one JSON value on stdout: strict (a number that is not finite becomes null), and ASCII.

    ASCII, so that every terminal can show it and none can be steered with it.
    """
    text = json.dumps(_plain(value), indent=2, allow_nan=False)
    # Straight to the stream: rich would wrap long lines inside strings. DEL is the one control left in ASCII.
    sys.stdout.write(text.replace("\x7f", "\\u007f") + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def progress_bar() -> Progress:
    """A progress bar with counts and an estimate; silent with ``--quiet`` and where stderr is no full terminal."""
    console = stderr()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=_Said.level is Level.QUIET or not sys.stderr.isatty() or console.is_dumb_terminal,
    )


__all__ = [
    "WARNING",
    "Level",
    "note",
    "print_json",
    "progress_bar",
    "set_level",
    "stderr",
    "stdout",
    "tell",
    "verbose",
]
