"""Loops that live on Gram columns, compiled by numba: vanilla Frank-Wolfe and SIFT.

:mod:`ttft_strategies._fast` imports this lazily, if it can. The steps are those of the NumPy loops, operation by
operation; only inner products may be summed in another order, as between any two BLAS libraries. What is added:
columns come four at a time, the one that is needed and three that may be soon.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _four_dots(rows: Any, vectors: Any, out: Any) -> None:
    """``vectors @ rows.T`` into ``out``: shapes (K, d), (4, d) and (4, K).

    Two rows against four vectors at a time: each widened entry serves four products, each vector entry two.
    Alone a product waits for the pool, four together keep the arithmetic busy.
    """
    size, dimensions = rows.shape
    u, v, w, x = vectors[0], vectors[1], vectors[2], vectors[3]
    for i in range(0, size, 2):
        j = min(i + 1, size - 1)  # the last row of an odd pool is its own partner
        row, other = rows[i], rows[j]
        a = b = c = d = e = f = g = h = 0.0
        for k in range(dimensions):
            p, q = np.float64(row[k]), np.float64(other[k])
            a += p * u[k]
            b += p * v[k]
            c += p * w[k]
            d += p * x[k]
            e += q * u[k]
            f += q * v[k]
            g += q * w[k]
            h += q * x[k]
        out[0, i], out[1, i], out[2, i], out[3, i] = a, b, c, d
        out[0, j], out[1, j], out[2, j], out[3, j] = e, f, g, h


@numba.njit(cache=True, nogil=True)
def _more_columns(rows: Any, pick: int, scores: Any, most: int, slots: Any, columns: Any, used: int) -> Any:
    """Make the Gram column of ``pick``, and with it those of the items without one that score best.

    Args:
        rows: the pool, shape (K, d), of any precision.
        pick: has no column yet.
        scores: how promising items are, shape (K,).
        most: columns that can be of use, at least 1.
        slots: row of each item in ``columns``, -1 for none; changed.
        columns: shape (slots, K), of which ``used`` are filled.
        used: filled slots.

    Returns:
        ``columns``, or a longer copy of it, and the items whose columns were added, in order.
    """
    items, found, most = np.empty(4, np.int64), 1, min(most, 4)
    items[0] = pick
    for i in range(len(scores) if most > 1 else 0):
        if slots[i] >= 0 or i == pick:
            continue
        place = found
        while place > 1 and scores[items[place - 1]] < scores[i]:
            place -= 1
        if place < most:
            for k in range(min(found, most - 1), place, -1):
                items[k] = items[k - 1]
            items[place] = i
            found = min(found + 1, most)
    if used + found > len(columns):
        longer = np.empty((2 * len(columns), len(rows)))
        longer[:used] = columns[:used]
        columns = longer
    vectors, products = np.zeros((4, rows.shape[1])), np.empty((4, len(rows)))
    for k in range(found):
        vectors[k] = rows[items[k]]
    _four_dots(rows, vectors, products)
    for k in range(found):
        columns[used + k] = products[k]
        slots[items[k]] = used + k
    return columns, items[:found]


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
    rows: Any, b: Any, tied: Any, weights: Any, start: int, settings: Any, limit: int, max_iter: int
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

    Returns:
        A code (1 converged, 2 support limit, 3 largest number of steps) and the number of steps.
    """
    size = len(b)
    enough, gap_tol, target_square, tie, ridge = settings
    slots, used = np.full(size, -1, np.int64), np.zeros(size, np.bool_)
    stack = np.empty((8, size))
    filled, touched, steps, item, code = 0, 0, 0, start, 0
    z = b.copy()
    scale, b_w, square_w = 1.0, 0.0, 0.0
    while True:
        if slots[item] < 0:
            stack, fresh = _more_columns(rows, item, z, limit - touched, slots, stack, filled)
            for new in fresh:
                for i in range(size):
                    stack[filled, i] = b[i] - stack[filled, i]
                stack[filled, new] -= ridge
                filled += 1
        if not used[item]:
            used[item] = True
            touched += 1
        row = stack[slots[item]]
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
def _first_best(scores: Any, tie: float) -> int:
    """Index of the largest score; the lowest index within ``tie`` of it."""
    best = scores[0]
    for i in range(1, len(scores)):
        best = max(best, scores[i])
    item = 0
    while scores[item] < best - tie:
        item += 1
    return item


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _subtract_earlier(factors: Any, step: int, pick: int, factor: Any) -> None:
    """``factor -= sum_s factors[s, pick] factors[s]`` over the first ``step`` factors, four in each pass."""
    done = step - step % 4
    for s in range(0, done, 4):
        a, b, c, d = factors[s, pick], factors[s + 1, pick], factors[s + 2, pick], factors[s + 3, pick]
        for i in range(len(factor)):
            factor[i] -= a * factors[s, i] + b * factors[s + 1, i] + c * factors[s + 2, i] + d * factors[s + 3, i]
    for s in range(done, step):
        a = factors[s, pick]
        for i in range(len(factor)):
            factor[i] -= a * factors[s, i]


@numba.njit(cache=True, nogil=True)
def pick_explained(rows: Any, cross: Any, noisy: Any, noise: float, tie: float, repeats: bool, of_targets: Any) -> Any:
    """Pick greedily by ``sum_t C[t, i]^2 / (C[i, i] + noise)``.

    Columns of the covariance are kept, ``u_s = C[:, s] / sqrt(C[s, s] + noise)``, and Gram columns too, so that
    picking an item again costs no product with the pool.

    Args:
        rows: the pool, shape (K, d), of any precision.
        cross: ``C[t, i]``, shape (m, K); changed.
        noisy: ``C[i, i] + noise``, shape (K,); changed.
        noise: variance of the observation noise.
        tie: scores that differ by no more are equal.
        repeats: whether an item may be picked again.
        of_targets: shape (N, m); filled with what each pick takes of each target.

    Returns:
        Pool positions in order of picking, shape (N,).
    """
    steps, (many, size) = len(of_targets), cross.shape
    positions = np.empty(steps, dtype=np.int64)
    factors = np.empty((steps, size))
    columns, slots, used = np.empty((8, size)), np.full(size, -1), 0
    scores = np.empty(size)
    for step in range(steps):
        for i in range(size):
            total = 0.0
            for t in range(many):
                total += cross[t, i] * cross[t, i]
            scores[i] = total / noisy[i]
        if not repeats:
            for s in range(step):
                scores[positions[s]] = -np.inf
        pick = _first_best(scores, tie)
        positions[step] = pick
        scale = 1.0 / np.sqrt(noisy[pick])
        for t in range(many):
            of_targets[step, t] = cross[t, pick] * scale
        if step == steps - 1:
            break
        if slots[pick] < 0:
            columns, fresh = _more_columns(rows, pick, scores, steps - 1 - step, slots, columns, used)
            used += len(fresh)
        factor = factors[step]
        factor[:] = columns[slots[pick]]
        _subtract_earlier(factors, step, pick, factor)
        for i in range(size):
            factor[i] *= scale
            noisy[i] = max(noisy[i] - factor[i] * factor[i], noise)
        for t in range(many):
            share = of_targets[step, t]
            for i in range(size):
                cross[t, i] -= share * factor[i]
    return positions
