"""One fixed colour per strategy, the same in every figure and, as far as can be, in every report."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable

#: Told apart with the common colour-vision deficiencies, and legible on white and on near-black alike.
COLOURS: tuple[str, ...] = (
    "#0072b2",  # blue
    "#d55e00",  # vermilion
    "#009e73",  # green
    "#c56ba0",  # pink
    "#c78500",  # ochre
    "#3c9bd6",  # sky
    "#8c6d46",  # brown
    "#7b61c9",  # violet
    # From here on only where the first eight are taken.
    "#a8003b",  # crimson
    "#66760b",  # olive
    "#5d6b78",  # slate
    "#00838f",  # teal
)
#: As many names have a hue to ask for; the rest of the palette is for those that come later.
PREFERRED = 8
LINE_STYLES: tuple[str, ...] = ("-", "--", ":", "-.")
MARKERS: tuple[str, ...] = ("o", "s", "^", "D", "v", "P")

#: Part of the hash. Any value does; this one happens to give usual line-ups well-separated colours.
_SALT = "1261"


def _preferred(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{_SALT}:{name}".encode()).digest()[:8], "big") % PREFERRED


def styles(names: Iterable[str], last: Container[str] = ()) -> dict[str, tuple[str, str]]:
    """Colour and line style of each name.

    A name asks for the colour that its hash gives, and moves to the next free one if another name took it
    (plain names first, then those with options, each in sorted order): colours seldom change when a strategy is
    added. Past eight names the line style changes, and past twelve colours come again.

    Args:
        names: in any order, repeated or not.
        last: names that choose after the others, such as controls: a strategy's colour never depends on them.
    """
    found: dict[str, tuple[str, str]] = {}
    taken: set[int] = set()
    for place, name in enumerate(sorted(set(names), key=lambda name: (name in last, "[" in name, name))):
        if len(taken) == len(COLOURS):
            taken.clear()
        wanted = _preferred(name)
        usual = [(wanted + step) % PREFERRED for step in range(PREFERRED)]
        slot = next(slot for slot in (*usual, *range(PREFERRED, len(COLOURS))) if slot not in taken)
        taken.add(slot)
        found[name] = (COLOURS[slot], LINE_STYLES[(place // PREFERRED) % len(LINE_STYLES)])
    return found


def markers(reuse: Iterable[str]) -> dict[str, str]:
    """A marker for each reuse setting, the same whatever the strategy; reuse off comes first."""
    return {name: MARKERS[place % len(MARKERS)] for place, name in enumerate(sorted(set(reuse)))}


__all__ = ["COLOURS", "PREFERRED", "markers", "styles"]
