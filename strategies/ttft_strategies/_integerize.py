"""From convex weights to whole training steps, in Gram form.

Minimise ``||q - (1/N) sum_i c_i p_i||^2`` over counts ``c_i >= 0, sum c_i = N`` near given weights. Scaled
by N^2 and without its constant this is ``F(c) = c^T G c - 2 N b^T c``, so that

- one more unit of i changes F by ``2 (G c)_i + G_ii - 2 N b_i``: O(m) per unit;
- moving a unit from i to j changes F by ``h_j - h_i + G_ii + G_jj - 2 G_ij`` with ``h = 2 (G c - N b)``:
  O(m^2) per round of swaps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ttft_strategies._gram import TIE_TOLERANCE, Gram, Matrix, Vector, first_best, support_of

Counts = NDArray[np.int64]


def round_weights(gram: Matrix, b: Vector, weights: Vector, budget: int) -> Counts:
    """Round by floor, then greedy units, then steepest swaps until no swap lowers the loss.

    Args:
        gram: ``G`` of the support, shape (m, m).
        b: ``<p_i, q>``, shape (m,).
        weights: convex, shape (m,).
        budget: N, at least 1.

    Returns:
        Counts of shape (m,), none negative, that sum to N and that no single swap can improve.
    """
    # The nudge keeps 0.9999999999 = N * (1 / N) from losing its unit.
    counts = np.floor(budget * weights + 1e-9).astype(np.int64)
    g_c = gram @ counts.astype(np.float64)
    diagonal = np.diagonal(gram)
    for _ in range(budget - int(counts.sum())):
        best = first_best(-(2.0 * g_c + diagonal - 2.0 * budget * b))
        counts[best] += 1
        g_c += gram[:, best]
    _swap(gram, b, counts, g_c, budget)
    return counts


def _swap(gram: Matrix, b: Vector, counts: Counts, g_c: Vector, budget: int) -> None:
    """Move single units, steepest first, in place, until none lowers the loss.

    The source is taken from the counts as they are *now*, so none can fall below zero. Every move lowers F
    by more than the tolerance and F is bounded below, so this ends.
    """
    diagonal = np.diagonal(gram)
    distance = diagonal[:, None] + diagonal[None, :] - 2.0 * gram
    smallest_gain = TIE_TOLERANCE * budget
    while True:
        h = 2.0 * (g_c - budget * b)
        change = distance + h[None, :] - h[:, None]
        change[counts == 0] = np.inf
        source, to = divmod(first_best(-change.ravel()), len(counts))
        if change[source, to] >= -smallest_gain:
            return
        counts[source] -= 1
        counts[to] += 1
        g_c += gram[:, to] - gram[:, source]


def integerize(gram: Gram, weights: Vector, budget: int) -> NDArray[np.int64]:
    """Turn convex weights over the pool into N positions in training order.

    Items come by descending weight (ties by lowest index), repeats of one item consecutively, so that
    gradient reuse finds them. Items without weight are not considered.

    Args:
        gram: pool of K rows and target.
        weights: convex, shape (K,).
        budget: N.

    Returns:
        Positions of shape (N,).
    """
    support = support_of(weights)
    counts = round_weights(gram.block(support), gram.b[support], weights[support], budget)
    order = np.argsort(-weights[support], kind="stable")
    return np.repeat(support[order], counts[order])
