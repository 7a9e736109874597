"""Blocks of pages that are made from the code: ``python docs/tools/blocks.py`` writes all of them anew.

A block stands between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->`` in a page of ``docs/pages``. A test makes every
block and compares, so that none of them can say anything that the code does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import errors_table
import runs_tables
import strategies_table
import suites_tables

PAGES = Path(__file__).parents[1] / "pages"


#: Page, block, and what makes it.
BLOCKS: tuple[tuple[str, str, Callable[[], str]], ...] = (
    ("index.md", "first-run", runs_tables.first_run),
    ("read-a-report.md", "paired", runs_tables.paired),
    ("choose-a-strategy.md", "strategies", strategies_table.overview),
    ("choose-a-strategy.md", "in-full", strategies_table.in_full),
    ("write-a-suite.md", "keys", suites_tables.keys),
    ("reproduce-the-papers.md", "costs", suites_tables.costs),
    ("reproduce-the-papers.md", "published", suites_tables.published),
    ("run-the-pile.md", "sizes", suites_tables.sizes),
    ("errors.md", "exit-codes", errors_table.exit_codes),
    ("errors.md", "errors", errors_table.errors),
)


def put(page: str, name: str, block: str) -> str:
    """A page's text with one block replaced.

    Raises:
        ValueError: the page has not exactly one such block.
    """
    pattern = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
    text, count = pattern.subn(lambda found: f"{found[1]}{block.rstrip()}\n{found[2]}", page)
    if count != 1:
        raise ValueError(f"{count} blocks are named {name} where one was due")
    return text


def main() -> None:
    """Write every block."""
    for name, block, make in BLOCKS:
        path = PAGES / name
        path.write_text(put(path.read_text(encoding="utf-8"), block, make()), encoding="utf-8")


if __name__ == "__main__":
    main()
