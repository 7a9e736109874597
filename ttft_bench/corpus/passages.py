"""Cut long text into passages at paragraph ends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_PARAGRAPH_END = re.compile(r"\n[^\S\n]*\n\s*")
_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+")


def paragraphs(text: str) -> list[str]:
    """The parts of ``text`` between blank lines, without the blank ones."""
    parts = (part.strip("\n").rstrip() for part in _PARAGRAPH_END.split(text))
    return [part for part in parts if part.strip()]


def passages(parts: Iterable[str], *, least: int, target: int, most: int) -> Iterator[str]:
    """Join paragraphs until a passage is long enough.

    Args:
        parts: paragraphs in order.
        least: a last passage shorter than this joins the one before it if both fit, else stays alone.
        target: a passage ends with the first paragraph that brings it to this many characters.
        most: no passage is longer; a paragraph that is longer itself is cut at sentence ends.
    """
    done: list[str] = []
    current = ""
    for part in parts:
        for piece in _pieces(part, most):
            joined = f"{current}\n\n{piece}" if current else piece
            if len(joined) > most:
                done.append(current)
                joined = piece
            current = joined
            if len(current) >= target:
                done.append(current)
                current = ""
    if current:
        if done and len(current) < least and len(done[-1]) + len(current) + 2 <= most:
            done[-1] = f"{done[-1]}\n\n{current}"
        else:
            done.append(current)
    yield from done


def _pieces(part: str, most: int) -> Iterator[str]:
    """Cut a paragraph longer than ``most`` at sentence ends, else between words, else anywhere."""
    if len(part) <= most:
        yield part
        return
    current = ""
    for sentence in _SENTENCE_END.split(part):
        if current and len(current) + len(sentence) + 1 > most:
            yield current
            current = ""
        rest = sentence
        while len(rest) > most:
            end = rest.rfind(" ", 1, most)
            end = end if end > 0 else most
            yield rest[:end]
            rest = rest[end:].lstrip()
        current = f"{current} {rest}" if current else rest
    if current:
        yield current


__all__ = ["paragraphs", "passages"]
