"""Reading docstrings of this project: paragraphs, marked sentences, and the entries of a section."""

from __future__ import annotations

import inspect
import re
from typing import Any

from roles import as_markdown


def paragraphs(thing: Any) -> list[str]:
    """The paragraphs of a docstring, each on one line, in Markdown."""
    text = as_markdown(inspect.getdoc(thing) or "").replace("``", "`")
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]


def marked(thing: Any, begin: str, end: str) -> str:
    """What follows ``begin`` in a docstring, up to ``end`` (a pattern) or the end of its paragraph.

    Raises:
        ValueError: nothing does.
    """
    for paragraph in paragraphs(thing):
        found = re.search(rf"(?:^|(?<=[.:;] )){re.escape(begin)}(.*?)(?={end}|$)", paragraph)
        if found:
            return found[1].strip()
    raise ValueError(f"the docstring of {getattr(thing, '__name__', thing)} has no sentence that begins with {begin!r}")


def attributes(thing: Any) -> dict[str, str]:
    """The entries of a section ``Attributes:`` by name, in Markdown."""
    text = as_markdown(inspect.getdoc(thing) or "").replace("``", "`")
    section = re.search(r"^Attributes:\n((?: {4}.*\n?|\n)+)", text, re.MULTILINE)
    if section is None:
        return {}
    entries = re.findall(r"^ {4}(\w+): (.*?)(?=^ {4}\w+: |\Z)", section[1], re.DOTALL | re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in entries}


def cell(text: str) -> str:
    """Text as a cell of a table."""
    return text.replace("|", "\\|")


def sentence(text: str) -> str:
    """Text with a capital first letter and a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "."
