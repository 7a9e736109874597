"""Text for a terminal: what came from a corpus or a plug-in made harmless, and sizes in words."""

from __future__ import annotations

import unicodedata

#: Categories that can move a cursor, reorder or hide text: control, format, surrogate, private use, unassigned.
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def printable(text: str, limit: int | None = None) -> str:
    r"""Escape every character that could steer a terminal, and cut to ``limit`` characters.

    Line breaks and tabs become single spaces; other control and format characters become ``\xNN`` or
    ``\uNNNN``, so that an escape sequence in a document is shown, never obeyed.
    """
    pieces = []
    for character in text:
        if character in "\n\r\t":
            pieces.append(" ")
        elif unicodedata.category(character) in _UNPRINTABLE:
            pieces.append(character.encode("unicode_escape").decode("ascii"))
        else:
            pieces.append(character)
    shown = "".join(pieces)
    if limit is not None and len(shown) > limit:
        return shown[: max(limit - 1, 0)] + "…"
    return shown


def size(n_bytes: float) -> str:
    """Bytes in the unit that suits them: ``0 B``, ``1.4 MiB``, ``12 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} {unit}" if unit == "B" or n_bytes >= 10 else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:,.1f} TiB"


__all__ = ["printable", "size"]
