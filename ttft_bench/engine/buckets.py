"""Static shapes for sequences of any length: a few lengths, and the smallest that a sequence fits into.

Right padding changes nothing for a causal model whose padded labels are ignored: no real token sees a later
one. So a compiled step needs only as many shapes as there are buckets.
"""

from __future__ import annotations

#: Up to 1024 tokens, lengths are multiples of this: tiles of matrix products and of attention come out even.
GRAIN = 128
_FINE_UP_TO = 8 * GRAIN


def choose_bucket(length: int, limit: int) -> int:
    """The smallest bucket that ``length`` tokens fit into.

    Buckets are multiples of 128 up to 1024 (8 of them), then of 256 up to 2048, of 512 up to 4096 and so on
    (4 for each doubling), and never above ``limit``, what the model takes.

    Raises:
        ValueError: ``length`` is not in 1..limit.
    """
    if not 1 <= length <= limit:
        raise ValueError(f"a length must be in 1..{limit}, got {length}")
    grain, reach = GRAIN, _FINE_UP_TO
    while length > reach:
        grain, reach = 2 * grain, 2 * reach
    return min(-(-length // grain) * grain, limit)


__all__ = ["GRAIN", "choose_bucket"]
