"""A Markdown extension: formulas become MathML, which browsers draw by themselves, without a script or a font."""

from __future__ import annotations

import html
import re
from typing import Any

import latex2mathml.converter
from markdown import Markdown
from markdown.extensions import Extension
from markdown.postprocessors import Postprocessor

#: What pymdownx.arithmatex makes of ``$a$`` and ``$$a$$``.
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def mathml(formula: str, *, block: bool) -> str:
    r"""One formula of LaTeX as MathML.

    Raises:
        ValueError: it holds a command that is not known, which would be drawn as ``\command``.
    """
    drawn = str(latex2mathml.converter.convert(formula.strip(), display="block" if block else "inline"))
    unknown = re.search(r"\\\S+?(?=<|\s)", drawn)
    if unknown:
        raise ValueError(f"the formula {formula!r} has the unknown command {unknown[0]}")
    return drawn


class _Draw(Postprocessor):
    def run(self, text: str) -> str:
        return _FORMULA.sub(lambda found: mathml(html.unescape(found[2]), block=found[1] == "div"), text)


class Maths(Extension):
    """Draws what pymdownx.arithmatex has found, with ``generic: true``."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Come last, when formulas are in the text."""
        md.postprocessors.register(_Draw(md), "mathml", -100)


def makeExtension(**settings: Any) -> Maths:
    """Make the extension."""
    return Maths(**settings)
