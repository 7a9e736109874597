"""Rounding by the rule ``geometry`` compiled by numba; :mod:`ttft_strategies._fast` imports it lazily, if it can.

The same steps in the same order as in :mod:`ttft_strategies._integerize`, whose comments say why.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def _shifted(gram: Any, b: Any, counts: Any, budget: int) -> Any:
    """``h = 2 (G c - N b)``."""
    size = len(b)
    h = np.empty(size)
    for i in range(size):
        total = 0.0
        for j in range(size):
            total += gram[i, j] * counts[j]
        h[i] = 2.0 * (total - budget * b[i])
    return h


@numba.njit(cache=True, nogil=True)
def _descend(gram: Any, b: Any, counts: Any, budget: int, cap: int, smallest_gain: float) -> float:
    """Steepest moves of single units, in place, until none gains more than ``smallest_gain``; ``F(c)``."""
    size = len(b)
    h = _shifted(gram, b, counts, budget)
    while True:
        best, source, to = np.inf, 0, 0
        for i in range(size):
            if counts[i] > 0:
                for j in range(size):
                    if counts[j] < cap:
                        change = (gram[i, i] + gram[j, j] - 2.0 * gram[i, j] + h[j]) - h[i]
                        if change < best:
                            best, source, to = change, i, j
        if not best < -smallest_gain:
            break
        counts[source] -= 1
        counts[to] += 1
        for i in range(size):
            h[i] += 2.0 * gram[to, i] - 2.0 * gram[source, i]
    loss = 0.0
    for i in range(size):
        loss += counts[i] * (0.5 * h[i] - budget * b[i])
    return loss


@numba.njit(cache=True, nogil=True)
def _floor_greedy(gram: Any, b: Any, floors: Any, budget: int, cap: int) -> Any:
    """Floors, then each remaining unit where it lowers the loss most."""
    size = len(b)
    counts = floors.copy()
    h = _shifted(gram, b, counts, budget)
    for _ in range(budget - counts.sum()):
        best, chosen = np.inf, 0
        for i in range(size):
            if counts[i] < cap and h[i] + gram[i, i] < best:
                best, chosen = h[i] + gram[i, i], i
        counts[chosen] += 1
        for i in range(size):
            h[i] += 2.0 * gram[chosen, i]
    return counts


@numba.njit(cache=True, nogil=True)
def _largest_remainder(weights: Any, floors: Any, budget: int, cap: int) -> Any:
    """Floors, then one more unit for the largest remainders, lowest index first among equals."""
    size = len(weights)
    counts = floors.copy()
    missing = budget - counts.sum()
    given = np.empty(size, np.bool_)
    while missing > 0:
        before = counts.copy()
        given[:] = False
        for _ in range(min(missing, size)):
            best, chosen = -np.inf, -1
            for i in range(size):
                if not given[i] and before[i] < cap and budget * weights[i] - before[i] > best:
                    best, chosen = budget * weights[i] - before[i], i
            if chosen < 0:
                break
            given[chosen] = True
            counts[chosen] += 1
        missing = budget - counts.sum()
    return counts


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _block(rows: Any, support: Any, ridge: float) -> Any:
    """``H`` of the support."""
    size, dimensions = len(support), rows.shape[1]
    wide, gram = np.empty((size, dimensions)), np.empty((size, size))
    for i in range(size):
        wide[i] = rows[support[i]]
    for i in range(size):
        for j in range(i + 1):
            total = 0.0
            for k in range(dimensions):
                total += wide[i, k] * wide[j, k]
            gram[i, j] = gram[j, i] = total
        gram[i, i] += ridge
    return gram


@numba.njit(cache=True, nogil=True)
def geometry_counts(
    gram: Any, b: Any, weights: Any, budget: int, cap: int, nudge: float, loss: float, tie: float
) -> Any:
    """Descend from floor-and-greedy and from largest remainder, and return the better counts.

    Args:
        gram: ``H`` of the support, shape (m, m).
        b: ``<p_i, q>``.
        weights: convex, shape (m,).
        budget: N.
        cap: largest count.
        nudge: what rounding may take from ``N w_i``.
        loss: difference of losses that is rounding.
        tie: gain of a move that is rounding.
    """
    floors = np.empty(len(b), np.int64)
    for i in range(len(b)):
        floors[i] = min(int(np.floor(budget * weights[i] + nudge)), cap)
    counts, other = _floor_greedy(gram, b, floors, budget, cap), _largest_remainder(weights, floors, budget, cap)
    same = True
    for i in range(len(b)):
        same = same and counts[i] == other[i]
    first = _descend(gram, b, counts, budget, cap, tie)
    if not same and _descend(gram, b, other, budget, cap, tie) < first - loss:
        return other
    return counts


@numba.njit(cache=True, nogil=True)
def geometry(rows: Any, b: Any, weights: Any, budget: int, cap: int, ridge: float, tolerances: Any) -> Any:
    """From weights over the pool to positions in training order, shape (N,).

    Args:
        rows: the pool, shape (K, d), of any precision.
        b: ``P q``.
        weights: convex, shape (K,).
        budget: N.
        cap: largest count.
        ridge: weight of ``||c/N||^2``.
        tolerances: smallest weight of the support, nudge, difference of losses, gain of a move and difference
            of weights that are rounding.
    """
    least, nudge, loss, tie, same_weight = tolerances
    support = np.flatnonzero(weights > least)
    size = len(support)
    shares, along = weights[support], b[support]
    counts = geometry_counts(_block(rows, support, ridge), along, shares, budget, cap, nudge, loss, tie)
    order = np.empty(size, np.int64)
    for i in range(size):
        key, place = np.rint(shares[i] / same_weight), i
        while place > 0:
            earlier = order[place - 1]
            other = np.rint(shares[earlier] / same_weight)
            if other > key or (other == key and along[earlier] >= along[i]):
                break
            order[place] = earlier
            place -= 1
        order[place] = i
    positions, filled = np.empty(budget, np.int64), 0
    for chosen in order:
        for _ in range(counts[chosen]):
            positions[filled] = support[chosen]
            filled += 1
    return positions
