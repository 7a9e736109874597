"""The best counts of all, by depth-first search with bounds: for small cases and as a reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ttft_strategies._gram import Matrix, Vector

#: Nodes after which the search gives up: some seconds.
NODE_LIMIT = 300_000
#: Weight of the constraint ``sum c = N`` in the quadratic form. It changes nothing where the constraint holds,
#: and lets the bound see a partial sum that cannot be completed.
_SUM_WEIGHT = 8.0


def search_counts(
    gram: Matrix, b: Vector, start: NDArray[np.int64], budget: int, cap: int, node_limit: int = NODE_LIMIT
) -> tuple[NDArray[np.int64], bool]:
    """Minimise ``F(c) = c^T H c - 2 N b^T c`` over counts ``0 <= c_i <= cap, sum c = N`` by sphere decoding.

    On the plane ``sum c = N``, ``F(c) = ||R (c - z)||^2 + constant`` with ``R^T R = H + s 1 1^T`` triangular and z
    the minimiser without bounds (Fincke & Pohst 1985). Counts are fixed from the last to the first, nearest
    to the conditional minimiser first (Schnorr & Euchner 1994); a branch ends where its partial sum exceeds
    the best answer so far.

    Args:
        gram: ``H``, shape (m, m).
        b: ``<p_i, q>``, shape (m,).
        start: feasible counts; the answer is never worse.
        budget: N.
        cap: largest count.
        node_limit: number of partial counts looked at before giving up.

    Returns:
        The best counts found, and whether the search was complete, hence the answer optimal (to 1e-10).
    """
    size = len(b)
    # Counts are fixed from the last to the first: the heaviest items first, which prune most.
    order = np.argsort(start, kind="stable")
    quadratic = gram[np.ix_(order, order)] + _SUM_WEIGHT
    quadratic[np.diag_indices(size)] += 1e-12 * (1.0 + np.trace(gram) / size)  # affinely dependent items
    factor: Matrix = np.asarray(np.linalg.cholesky(quadratic).T, dtype=np.float64)
    linear = budget * (b[order] + _SUM_WEIGHT)
    centre: Vector = np.asarray(np.linalg.solve(quadratic, linear), dtype=np.float64)
    best = start[order].astype(np.int64)
    offset = factor @ (best - centre)
    radius = float(offset @ offset)
    counts = np.zeros(size, dtype=np.int64)
    nodes = 0
    # One entry per level: (level, left, spent, remaining candidates of this level).
    stack = [_candidates(size - 1, budget, counts, centre, factor, cap)]
    lefts, spents = [budget], [0.0]
    while stack:
        level = size - len(stack)
        if not stack[-1]:
            stack.pop()
            lefts.pop()
            spents.pop()
            continue
        count, cost = stack[-1].pop()
        spent = spents[-1] + cost
        nodes += 1
        if nodes > node_limit:
            return _restored(best, order), False
        if spent >= radius - 1e-12:
            stack[-1].clear()  # the others cost more
            continue
        counts[level] = count
        if level == 0:
            best, radius = counts.copy(), spent
            continue
        left = lefts[-1] - count
        stack.append(_candidates(level - 1, left, counts, centre, factor, cap))
        lefts.append(left)
        spents.append(spent)
    return _restored(best, order), True


def _candidates(
    level: int, left: int, counts: NDArray[np.int64], centre: Vector, factor: Matrix, cap: int
) -> list[tuple[int, float]]:
    """Values of one count with their cost, dearest first, given the counts of all later levels."""
    if level == 0:
        values = np.array([left] if left <= cap else [], dtype=np.int64)
    else:
        values = np.arange(max(left - level * cap, 0), min(left, cap) + 1)
    tail = factor[level, level + 1 :] @ (counts[level + 1 :] - centre[level + 1 :])
    cost = (factor[level, level] * (values - centre[level]) + tail) ** 2
    dearest = np.argsort(-cost, kind="stable")
    return list(zip(values[dearest].tolist(), cost[dearest].tolist(), strict=True))


def _restored(counts: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    restored = np.empty_like(counts)
    restored[order] = counts
    return restored
