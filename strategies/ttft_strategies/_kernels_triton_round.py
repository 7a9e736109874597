"""The rounding rule ``geometry`` and the training order as one Triton kernel; see :mod:`ttft_strategies._integerize`.

One program rounds one prompt. Vectors over the support are in registers; the block of the Gram matrix over the
support is copied together once and then read in bands of rows, so that the width of the support is not bounded
by the registers. What one thread writes and another reads lies between barriers.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ttft_strategies._kernels_triton import HEADER, SUPPORT

_SUPPORT, _HEADER = tl.constexpr(SUPPORT), tl.constexpr(HEADER)
_NOWHERE = tl.constexpr(2**30)


@triton.jit
def _first_least(values: tl.tensor, slot: tl.tensor) -> tl.tensor:
    """The lowest slot of the smallest value."""
    return tl.min(tl.where(values == tl.min(values, 0), slot, _NOWHERE), 0)


@triton.jit
def _shifted(
    block: tl.tensor,
    kept: tl.tensor,
    counts: tl.tensor,
    linear: tl.tensor,
    n: tl.tensor,
    m: tl.tensor,
    M: tl.constexpr,
    BAND: tl.constexpr,
) -> tl.tensor:
    """``h = 2 (G c - N b)``; leaves the counts in ``kept``."""
    slot = tl.arange(0, M)
    tl.debug_barrier()  # nobody reads the former content any more
    tl.store(kept + slot, counts)
    tl.debug_barrier()
    of_counts = tl.zeros([M], tl.float64)
    for first in range(0, m, BAND):
        row = first + tl.arange(0, BAND)
        count = tl.load(kept + row, mask=row < m, other=0.0)
        band = tl.load(block + row[:, None] * M + slot[None, :], mask=(row < m)[:, None], other=0.0)
        of_counts += tl.sum(count[:, None] * band, 0)
    return 2.0 * (of_counts - n * linear)


@triton.jit
def _descend(
    block: tl.tensor,
    kept: tl.tensor,
    diagonals: tl.tensor,
    counts: tl.tensor,
    linear: tl.tensor,
    diagonal: tl.tensor,
    n: tl.tensor,
    m: tl.tensor,
    smallest_gain: tl.tensor,
    going: tl.tensor,
    M: tl.constexpr,
    BAND: tl.constexpr,
) -> tl.tensor:
    """Move single units, steepest first, until none gains more than ``smallest_gain``; counts and ``F(c)``."""
    slot = tl.arange(0, M)
    h = _shifted(block, kept, counts, linear, n, m, M, BAND)
    while going > 0:
        tl.debug_barrier()
        tl.store(kept + slot, tl.where(counts > 0.0, h, float("-inf")))  # an item without units cannot give one
        tl.debug_barrier()
        taking = tl.where(slot < m, h, float("inf"))
        best = tl.min(tl.where(slot < m, float("inf"), taking), 0)  # +inf, in float64
        place = going - going
        for first in range(0, m, BAND):
            row = first + tl.arange(0, BAND)
            giving = tl.load(kept + row, mask=row < m, other=float("-inf"))
            own = tl.load(diagonals + row, mask=row < m, other=0.0)
            band = tl.load(block + row[:, None] * M + slot[None, :], mask=(row < m)[:, None], other=0.0)
            change = ((own[:, None] + diagonal[None, :] - 2.0 * band) + taking[None, :]) - giving[:, None]
            least = tl.min(tl.min(change, 1), 0)
            flat = row[:, None] * M + slot[None, :]
            at = tl.min(tl.min(tl.where(change == least, flat, _NOWHERE), 1), 0)
            place = tl.where(least < best, at, place)
            best = tl.minimum(best, least)
        going = (best < -smallest_gain).to(tl.int32)
        source = place // M
        to = place % M
        unit = going.to(tl.float64)
        counts += tl.where(slot == to, unit, 0.0) - tl.where(slot == source, unit, 0.0)
        h += 2.0 * unit * (tl.load(block + to * M + slot) - tl.load(block + source * M + slot))
    # ``going`` is 0 here. Results of a loop that nobody uses are dropped, and Triton 3.6 fails on what is left.
    return counts, tl.sum(counts * (0.5 * h - n * linear), 0) + going.to(tl.float64)


@triton.jit(do_not_specialize=["size", "budget", "width", "room"])
def geometry(
    gram: tl.tensor,
    b: tl.tensor,
    settings: tl.tensor,
    out: tl.tensor,
    items: tl.tensor,
    work: tl.tensor,
    size: tl.tensor,
    budget: tl.tensor,
    width: tl.tensor,
    room: tl.tensor,
    M: tl.constexpr,
    BAND: tl.constexpr,
) -> None:
    """Steepest swaps from floor-and-greedy and from largest remainder, the better of both, in training order.

    Args:
        gram: ``P P^T`` of each prompt, shape (B, K, K).
        b: ``P q``, shape (B, K).
        settings: of this kernel: nudge of floors, gain of a move that is rounding, difference of ``F`` that is
            rounding, difference of weights that is rounding.
        out: shape (B, width), with weights and size of the support; the positions are written behind the weights.
        items: int32, shape (B, room): the support, ascending.
        work: room for ``M * M + 2 * M`` numbers of each prompt.
        size: K.
        budget: N.
        width: length of a row of ``out``.
        room: length of a row of ``items``.
        M: a power of two of at least ``room``.
        BAND: rows of the block that are read at a time, a power of two of at most M.
    """
    prompt = tl.program_id(0).to(tl.int64)
    gram += prompt * size * size
    b += prompt * size
    out += prompt * width
    items += prompt * room
    block = work + prompt * (M * M + 2 * M)
    kept = block + M * M
    diagonals = kept + M
    slot = tl.arange(0, M)
    m = tl.load(out + _SUPPORT).to(tl.int32)
    real = slot < m
    item = tl.load(items + slot, mask=real, other=0)
    share = tl.load(out + _HEADER + item, mask=real, other=0.0)
    linear = tl.load(b + item, mask=real, other=0.0)
    diagonal = tl.load(gram + item * size + item, mask=real, other=0.0)
    tl.store(diagonals + slot, diagonal)
    for first in range(0, m, BAND):
        row = first + tl.arange(0, BAND)
        own = tl.load(items + row, mask=row < m, other=0)
        there = (row < m)[:, None] & real[None, :]
        band = tl.load(gram + own[:, None] * size + item[None, :], mask=there, other=0.0)
        tl.store(block + row[:, None] * M + slot[None, :], band)
    tl.debug_barrier()

    n = budget.to(tl.float64)
    floors = tl.floor(n * share + tl.load(settings))
    missing = budget - tl.sum(floors, 0).to(tl.int32)
    greedy = floors
    change = _shifted(block, kept, floors, linear, n, m, M, BAND) + diagonal
    largest = floors
    remainder = n * share - floors
    for _ in range(missing):
        best = _first_least(tl.where(real, change, float("inf")), slot)
        greedy += tl.where(slot == best, 1.0, 0.0)
        change += 2.0 * tl.load(block + best * M + slot)
        best = _first_least(tl.where(real, -remainder, float("inf")), slot)
        largest += tl.where(slot == best, 1.0, 0.0)
        remainder = tl.where(slot == best, float("-inf"), remainder)

    gain = tl.load(settings + 1) * n
    differ = tl.max((greedy != largest).to(tl.int32), 0)
    anyway = tl.maximum(differ, 1)
    first_counts, loss = _descend(block, kept, diagonals, greedy, linear, diagonal, n, m, gain, anyway, M, BAND)
    second_counts, other = _descend(block, kept, diagonals, largest, linear, diagonal, n, m, gain, differ, M, BAND)
    better = (differ > 0) & (other < loss - tl.load(settings + 2))
    counts = tl.where(better, second_counts, first_counts)

    # An item's first place in the order is the number of units of the items before it.
    tl.debug_barrier()
    tl.store(kept + slot, counts)
    tl.debug_barrier()
    same = tl.load(settings + 3)
    key = tl.floor(share / same + 0.5)
    place = tl.zeros([M], tl.float64)
    for first in range(0, m, BAND):
        row = first + tl.arange(0, BAND)
        other_item = tl.load(items + row, mask=row < m, other=0)
        other_key = tl.floor(tl.load(out + _HEADER + other_item, mask=row < m, other=0.0) / same + 0.5)[:, None]
        other_linear = tl.load(b + other_item, mask=row < m, other=0.0)[:, None]
        units = tl.load(kept + row, mask=row < m, other=0.0)
        nearer = (other_linear > linear[None, :]) | ((other_linear == linear[None, :]) & (row[:, None] < slot[None, :]))
        before = (other_key > key[None, :]) | ((other_key == key[None, :]) & nearer)
        place += tl.sum(tl.where(before, units[:, None], 0.0), 0)
    positions = out + _HEADER + size + place.to(tl.int32)
    most = tl.max(counts, 0).to(tl.int32)
    for unit in range(most):
        tl.store(positions + unit, item.to(tl.float64), mask=real & (unit < counts))
