"""The longest common substring of two texts, exactly, in a few dozen sorts of an array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: For every place in the first and in the second text a number, equal where the substrings that begin there are.
_Names = tuple[NDArray[np.int64], NDArray[np.int64]]


def longest_common_substring(first: str, second: str) -> int:
    """Length in characters of the longest text that stands in both.

    Substrings of one length are named by numbers, equal for equal substrings, as in the construction of suffix
    arrays by prefix doubling (Manber & Myers 1993): the names of length L + M are pairs of names of lengths L
    and M. Lengths double while there is a common name; the rest of the length is found bit by bit. No hash is
    taken, so the answer is exact; time is O(n log^2 n).
    """
    if not first or not second:
        return 0
    names = _number([_codes(first), _codes(second)])
    levels = []
    while _share(names):
        levels.append(names)
        length = 1 << (len(levels) - 1)
        if 2 * length > min(len(first), len(second)):
            break
        names = _join(names, names, length)
    if not levels:
        return 0
    length, names = 1 << (len(levels) - 1), levels[-1]
    for power in range(len(levels) - 2, -1, -1):
        if length + (1 << power) > min(len(first), len(second)):
            continue
        longer = _join(names, levels[power], length)
        if _share(longer):
            length, names = length + (1 << power), longer
    return length


def _codes(text: str) -> NDArray[np.int64]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)


def _number(keys: list[NDArray[np.int64]]) -> _Names:
    _, numbers = np.unique(np.concatenate(keys), return_inverse=True)
    return numbers[: len(keys[0])], numbers[len(keys[0]) :]


def _join(names: _Names, follow: _Names, length: int) -> _Names:
    """Names of what ``names`` (of this length) and then ``follow`` name."""
    width = 1 + max(int(part.max(initial=0)) for part in follow)
    return _number(
        [part[: len(after) - length] * width + after[length:] for part, after in zip(names, follow, strict=True)]
    )


def _share(names: _Names) -> bool:
    return bool(np.intersect1d(*names).size)


__all__ = ["longest_common_substring"]
