"""Loops compiled by numba. Importing this needs the extra ``fast``; :mod:`ttft_strategies._fast` does it lazily.

The steps are those of the NumPy loops, operation by operation; only inner products may be summed in another
order, as between any two BLAS libraries.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _dot(left: Any, right: Any) -> float:
    """Inner product, in any order of summation."""
    total = 0.0
    for i in range(len(left)):
        total += left[i] * right[i]
    return total


@numba.njit(cache=True, nogil=True)
def _argmax(values: Any, tied: Any, tie: float) -> int:
    """Index of the largest value; if that is a tied one, the lowest index within ``tie`` of it.

    Four running maxima keep the pipeline busy.
    """
    size = len(values)
    a = b = c = d = values[0]
    for i in range(0, size - 3, 4):
        a = max(a, values[i])
        b = max(b, values[i + 1])
        c = max(c, values[i + 2])
        d = max(d, values[i + 3])
    for i in range(size - size % 4, size):
        a = max(a, values[i])
    best = max(max(a, b), max(c, d))
    item = 0
    while values[item] < best:
        item += 1
    if tied[item]:
        for i in range(item):
            if values[i] >= best - tie:
                return i
    return item


@numba.njit(cache=True, nogil=True)
def frank_wolfe(
    rows: Any, b: Any, tied: Any, weights: Any, start: int, settings: Any, limit: int, max_iter: int, slots: int
) -> tuple[int, int]:
    """Vanilla Frank-Wolfe on the simplex, from all weight on ``start``.

    Args:
        rows: the pool, shape (K, d).
        b: ``P q``.
        tied: items tied with others, shape (K,).
        weights: zeros, shape (K,); the answer is written here.
        start: the first item.
        settings: squared residual and gap that are small enough, ``<q, q>``, tolerance of ties,
            ridge.
        limit: number of items that may be touched.
        max_iter: largest number of steps.
        slots: number of rows of slopes that may be needed.

    Returns:
        A code (1 converged, 2 support limit, 3 largest number of steps) and the number of steps.
    """
    size = len(b)
    enough, gap_tol, target_square, tie, ridge = settings
    slot = np.full(size, -1, np.int64)
    stack = np.empty((slots, size))
    filled, touched, steps, item, code = 0, 0, 0, start, 0
    z = np.empty(size)
    scale, b_w, square_w = 1.0, 0.0, 0.0
    while True:
        if slot[item] < 0:
            for i in range(size):
                stack[filled, i] = b[i] - _dot(rows[i], rows[item])
            stack[filled, item] -= ridge
            slot[item] = filled
            filled += 1
            touched += 1
        row = stack[slot[item]]
        b_s = b[item]
        h_ss = b_s - row[item]
        if touched == 1 and steps == 0:
            z[:] = row
            weights[item] = 1.0
            b_w, square_w = b_s, h_ss
        else:
            cross = b_s - scale * z[item]
            descent = scale * z[item] - b_w + square_w
            length = h_ss - 2.0 * cross + square_w
            gamma = descent / length if 0.0 < descent < length else 1.0
            keep = 1.0 - gamma
            square_w = keep * keep * square_w + gamma * (2.0 * keep * cross + gamma * h_ss)
            b_w = keep * b_w + gamma * b_s
            scale *= keep
            if scale < 1e-200:
                for i in range(size):
                    z[i] *= scale
                    weights[i] *= scale
                scale = 1.0
            gain = gamma / scale
            for i in range(size):
                z[i] += row[i] * gain
            weights[item] += gain
            steps += 1
        item = _argmax(z, tied, tie / scale)
        if target_square - 2.0 * b_w + square_w < enough or 2.0 * (scale * z[item] - b_w + square_w) <= gap_tol:
            code = 1
        elif touched >= limit:
            code = 2
        elif steps >= max_iter:
            code = 3
        if code > 0:
            for i in range(size):
                weights[i] *= scale
            return code, steps


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
def geometry(gram: Any, b: Any, floors: Any, remainder_start: Any, budget: int, cap: int, tolerance: float) -> Any:
    """Fill floors greedily, descend from there and from the other start, and return the better counts.

    Args:
        gram: ``H`` of the support, shape (m, m).
        b: ``<p_i, q>``.
        floors: counts that do not yet sum to N.
        remainder_start: counts that do.
        budget: N.
        cap: largest count.
        tolerance: gain of a move that is rounding.
    """
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
    other = remainder_start.copy()
    same = True
    for i in range(size):
        same = same and counts[i] == other[i]
    loss = _descend(gram, b, counts, budget, cap, tolerance)
    if not same and _descend(gram, b, other, budget, cap, tolerance) < loss - 1e-9:
        return other
    return counts
