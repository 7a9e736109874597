"""The loop of SIFT compiled by numba; :mod:`ttft_strategies._posterior` imports it lazily, if it can.

Here columns of the covariance are kept, ``u_s = C[:, s] / sqrt(C[s, s] + noise)``, and Gram columns too, so that
picking an item again costs no product with the pool. Picks are those of the NumPy loop: scores are compared
with the same tolerance, and only inner products may be summed in another order.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def _first_best(scores: Any, tie: float) -> int:
    """Index of the largest score; the lowest index within ``tie`` of it.

    Here and not shared: what numba keeps on disk is renewed when its own file changes, not another one's.
    """
    best = scores[0]
    for i in range(1, len(scores)):
        best = max(best, scores[i])
    item = 0
    while scores[item] < best - tie:
        item += 1
    return item


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _dots(rows: Any, vector: Any, out: Any) -> None:
    """``rows @ vector``, entries widened one by one."""
    for i in range(len(rows)):
        row = rows[i]
        total = 0.0
        for j in range(len(vector)):
            total += row[j] * vector[j]
        out[i] = total


@numba.njit(cache=True, nogil=True)
def pick_explained(rows: Any, cross: Any, noisy: Any, noise: float, tie: float, repeats: bool, of_targets: Any) -> Any:
    """Pick greedily by ``sum_t C[t, i]^2 / (C[i, i] + noise)``.

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
    columns = np.empty((min(steps, size), size))
    slots = np.full(size, -1)
    used = 0
    scores, wide = np.empty(size), np.empty(rows.shape[1])
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
            wide[:] = rows[pick]
            _dots(rows, wide, columns[used])
            slots[pick] = used
            used += 1
        factor = factors[step]
        factor[:] = columns[slots[pick]]
        for s in range(step):
            share = factors[s, pick]
            for i in range(size):
                factor[i] -= share * factors[s, i]
        for i in range(size):
            factor[i] *= scale
            noisy[i] = max(noisy[i] - factor[i] * factor[i], noise)
        for t in range(many):
            share = of_targets[step, t]
            for i in range(size):
                cross[t, i] -= share * factor[i]
    return positions
