"""Solvers of ``min ||q - P^T w||^2`` over the simplex ``w >= 0, sum w = 1``. Pure functions.

Each returns a :class:`Solution` with its certificate: the Frank-Wolfe gap bounds the distance to the
optimum, ``0 <= f(w) - f* <= gap``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ttft_strategies._gram import Gram, Vector, first_best


@dataclass(frozen=True)
class Solution:
    """Where a solver stopped, and how good that is.

    Attributes:
        weights: shape (K,), convex.
        objective: f at ``weights``.
        gap: Frank-Wolfe gap at ``weights``.
        status: "converged", "support_limit" or "max_iter".
        iterations: number of steps taken.
    """

    weights: Vector
    objective: float
    gap: float
    status: str
    iterations: int


def frank_wolfe(
    gram: Gram, *, support_limit: int, max_iter: int = 250, tol: float = 1e-5, gap_tol: float = 1e-10
) -> Solution:
    """Vanilla Frank-Wolfe with exact line search, stopped as HullFT does (arXiv 2605.30337).

    Start at ``argmax_p <p, q>``; step towards ``s = argmax_p <p, q - x>`` with
    ``gamma = clip(<q - x, s - x> / ||s - x||^2, 0, 1)``. Stop at ``||q - x|| < tol``, at a gap of at most
    ``gap_tol``, after ``max_iter`` steps, or once ``support_limit`` different points have been touched.

    A step costs O(K): it updates ``G w``, ``b^T w`` and ``w^T G w`` with one Gram column.

    Args:
        gram: pool of K rows and target.
        support_limit: number of different points that may be touched, at least 1.
        max_iter: largest number of steps.
        tol: smallest residual norm worth another step. A unit target is not in the hull of *other* unit
            vectors, so this fires only if the target is in the pool or inside the hull.
        gap_tol: smallest Frank-Wolfe gap worth another step.
    """
    start = first_best(gram.b)
    weights = np.zeros(len(gram.b))
    weights[start] = 1.0
    g_w = gram.column(start).copy()
    b_w, w_g_w = float(gram.b[start]), float(gram.diagonal[start])
    touched, steps = {start}, 0
    while True:
        along = gram.b - g_w  # <p, q - x> for every p
        vertex = first_best(along)
        descent = float(along[vertex]) - (b_w - w_g_w)  # <q - x, s - x>: half the gap
        if gram.target_square - 2.0 * b_w + w_g_w < tol * tol or 2.0 * descent <= gap_tol:
            status = "converged"
            break
        if len(touched) >= support_limit:
            status = "support_limit"
            break
        if steps >= max_iter:
            status = "max_iter"
            break
        length = float(gram.diagonal[vertex] - 2.0 * g_w[vertex]) + w_g_w  # ||s - x||^2
        gamma = min(descent / length, 1.0) if length > 0.0 else 1.0
        keep = 1.0 - gamma
        w_g_w = keep * keep * w_g_w + gamma * (2.0 * keep * float(g_w[vertex]) + gamma * gram.diagonal[vertex])
        b_w = keep * b_w + gamma * float(gram.b[vertex])
        g_w *= keep
        g_w += gamma * gram.column(vertex)
        weights *= keep
        weights[vertex] += gamma
        touched.add(vertex)
        steps += 1
    weights /= weights.sum()
    objective, gap = gram.certify(weights)
    return Solution(weights, objective, gap, status, steps)
