"""Where the ``prefix`` protocol cuts a prompt: retrieval sees the first half, the second half alone is scored.

With it no strategy can profit from having read the very words that it is scored on: the whole prompt is the query of
the other protocols, so that what resembles its end is found by its end.
"""

from __future__ import annotations

import re

#: What the identity of a run says of pools that were found with first halves.
FIRST_HALF = "first half"

_WORD_END = re.compile(r"(?<=\S)(?=\s)")


def cut_position(text: str) -> int:
    """Number of characters in the first half.

    The cut is at the end of a word: the first one at or after the middle character, so that the second half begins
    with white space, as tokens of most models do. Where no word ends before three quarters of the text, as in
    scripts without spaces, it is at the middle character itself.
    """
    middle = len(text) // 2
    # One character more than is accepted, so that white space at the bound still shows where a word ends.
    found = _WORD_END.search(text, max(middle, 1), (3 * len(text)) // 4 + 1)
    return found.start() if found else middle


def halves(text: str) -> tuple[str, str]:
    """The two halves of a text, whole together; see :func:`cut_position`."""
    cut = cut_position(text)
    return text[:cut], text[cut:]


__all__ = ["FIRST_HALF", "cut_position", "halves"]
