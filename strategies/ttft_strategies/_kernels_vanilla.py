"""Vanilla Frank-Wolfe compiled by numba; :mod:`ttft_strategies._fast` imports it lazily, if it can.

The steps are those of the NumPy loops, operation by operation; only inner products may be summed in another
order, as between any two BLAS libraries.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _dot(row: Any, wide: Any) -> float:
    """Inner product of a row of any precision with a float64 vector, in any order of summation."""
    total = 0.0
    for i in range(len(wide)):
        total += row[i] * wide[i]
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
        rows: the pool, shape (K, d), of any precision.
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
    z, wide = np.empty(size), np.empty(rows.shape[1])
    scale, b_w, square_w = 1.0, 0.0, 0.0
    while True:
        if slot[item] < 0:
            wide[:] = rows[item]
            for i in range(size):
                stack[filled, i] = b[i] - _dot(rows[i], wide)
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
