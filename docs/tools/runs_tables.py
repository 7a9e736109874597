"""Tables of curated runs, from the files that the runs left."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

REPORTS = Path(__file__).parents[2] / "reports"


def first_run() -> str:
    """The rows of the first run at its largest budget."""
    lines = _table(REPORTS / "2026-11-23_quick" / "README.md")
    return "\n".join([*lines[:2], *(line for line in lines[2:] if line.split(" | ")[2] == "8")])


def paired() -> str:
    """The table of the large run, as its account tells it."""
    return "\n".join(_table(REPORTS / "README.md"))


def _table(path: Path) -> list[str]:
    """The lines of the first table of a document."""
    lines = iter(path.read_text(encoding="utf-8").splitlines())
    first = next(line for line in lines if line.startswith("|"))
    return [first, *takewhile(lambda line: line.startswith("|"), lines)]
