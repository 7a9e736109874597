"""Text as a browser may break it: not between a number and its unit, and not within a word where a mark will do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

#: A space that belongs to a figure: before a unit, and around an equals sign.
_TIED = re.compile(r"(?<=\d) (?=(?:%|µs|ms|s|min)(?![\w]))|(?<=\w) (?==)|(?<==) (?=\S)")
#: Marks of a spec after which a long one may go on in the next line.
_MARKS = re.compile(r"(?<=[\[=;,/_-])")


def glued(text: str) -> str:
    """``95 % interval`` and ``N = 50`` with spaces that do not break."""
    return _TIED.sub("\N{NO-BREAK SPACE}", text)


def breakable(text: str) -> Markup:
    """A spec that may be broken after its marks; copied or searched for, it is the same text."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(escape(part) for part in _MARKS.split(text))


__all__ = ["breakable", "glued"]
