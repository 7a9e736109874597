"""From convex weights to whole training steps, in Gram form.

Minimise ``||q - (1/N) sum_i c_i p_i||^2 + ridge ||c/N||^2`` over counts ``0 <= c_i <= cap, sum c_i = N`` near given
weights. Scaled by N^2, without its constant and with ``H = G + ridge I`` this is ``F(c) = c^T H c - 2 N b^T c``, so

- one more unit of i changes F by ``2 (H c)_i + H_ii - 2 N b_i``: O(m) per unit;
- moving a unit from i to j changes F by ``h_j - h_i + H_ii + H_jj - 2 H_ij`` with ``h = 2 (H c - N b)``:
  O(m^2) per round of swaps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ttft_strategies import _fast
from ttft_strategies._gram import SUPPORT_TOLERANCE, TIE_TOLERANCE, Gram, Matrix, Vector, support_of
from ttft_strategies._integer_search import search_counts

Counts = NDArray[np.int64]
#: From ``H`` (m, m), ``b`` (m,), weights (m,), N and cap to counts (m,).
Rule = Callable[[Matrix, Vector, Vector, int, int], Counts]

#: Keeps 0.9999999999 = N * (1 / N) from losing its unit.
_NUDGE = 1e-9
#: Difference of weights that rounding may make between equals.
_SAME_WEIGHT = 1e-12
#: Difference of F that rounding may make between equals.
_SAME_LOSS = 1e-9


def geometry(gram: Matrix, b: Vector, weights: Vector, budget: int, cap: int) -> Counts:
    """Steepest swaps from floor-and-greedy and from largest remainder; the better of the two local optima.

    Two local optima can differ, so only starting from both is never worse than either rule.
    """
    if _fast.available():
        tolerances = (_NUDGE, _SAME_LOSS, TIE_TOLERANCE * budget)
        return _fast.geometry_counts(gram, b, weights, budget, cap, *tolerances)
    other = largest_remainder(gram, b, weights, budget, cap)
    first = _floor_greedy(gram, b, weights, budget, cap)
    same = np.array_equal(first, other)
    distance = _distances(gram)
    loss = _descend(gram, distance, b, first, budget, cap)
    if not same and _descend(gram, distance, b, other, budget, cap) < loss - _SAME_LOSS:
        return other
    return first


def largest_remainder(gram: Matrix, b: Vector, weights: Vector, budget: int, cap: int) -> Counts:
    """Floors, then one more unit for the largest remainders (ties by lowest index); looks at no geometry."""
    counts = _floors(weights, budget, cap)
    remainder = budget * weights - counts
    while (missing := budget - int(counts.sum())) > 0:
        # One round is enough unless the cap is in the way of some.
        room = np.flatnonzero(counts < cap)
        chosen = room[np.argsort(-remainder[room], kind="stable")[:missing]]
        counts[chosen] += 1
        remainder[chosen] -= 1.0
    return counts


def published(gram: Matrix, b: Vector, weights: Vector, budget: int, cap: int) -> Counts:
    """HullFT's own rule: floors, greedy units, then passes of swaps over the items in order of weight.

    In a pass each item with a unit gives one to the item that gains most by it, as long as the loss falls;
    passes repeat until one changes nothing. Counts are looked at when a unit moves, so none falls below zero,
    which the published code does not guard against.
    """
    counts = _floor_greedy(gram, b, weights, budget, cap)
    distance = _distances(gram)
    h = 2.0 * (gram @ counts - budget * b)
    order = np.argsort(-weights, kind="stable")
    changed = True
    while changed:
        changed = False
        for source in order:
            if counts[source] == 0:
                continue
            change = np.where(counts < cap, distance[source] + h - h[source], np.inf)
            to = int(change.argmin())
            if change[to] < -TIE_TOLERANCE * budget:
                counts[source] -= 1
                counts[to] += 1
                h += 2.0 * (gram[to] - gram[source])
                changed = True
    return counts


def exact(gram: Matrix, b: Vector, weights: Vector, budget: int, cap: int) -> Counts:
    """The best counts of all on the support, by exhaustive search with bounds; small cases only.

    Starts from ``geometry``, so it is never worse. Raises ``RuntimeError`` if the search would take too long.
    """
    counts = geometry(gram, b, weights, budget, cap)
    found, complete = search_counts(gram, b, counts, budget, cap)
    if not complete:
        raise RuntimeError(
            f"integerize=exact: {len(weights)} items of support and a budget of {budget} are too many to search; "
            "take integerize=geometry"
        )
    return found


#: Every rule by the name it has in a spec.
RULES: dict[str, Rule] = {
    "geometry": geometry,
    "largest_remainder": largest_remainder,
    "exact": exact,
    "published": published,
}


def round_weights(
    gram: Matrix, b: Vector, weights: Vector, budget: int, rule: str = "geometry", cap: int = 0
) -> Counts:
    """Round convex weights to counts.

    Args:
        gram: ``H`` of the support, shape (m, m).
        b: ``<p_i, q>``, shape (m,).
        weights: convex, shape (m,); at most cap / N each if there is a cap.
        budget: N, at least 1.
        rule: a name in ``RULES``.
        cap: largest count; 0 for none.

    Returns:
        Counts of shape (m,), none negative, none above the cap, that sum to N.
    """
    return RULES[rule](gram, b, weights, budget, cap if 0 < cap < budget else budget)


def integerize(
    gram: Gram, weights: Vector, budget: int, rule: str = "geometry", cap: int = 0, ridge: float = 0.0
) -> NDArray[np.int64]:
    """Turn convex weights over the pool into N positions in training order.

    Items come in :func:`training_order`, repeats of one item consecutively, so that gradient reuse finds
    them. Items without weight are not considered.

    Args:
        gram: pool of K rows and target.
        weights: convex, shape (K,).
        budget: N.
        rule: a name in ``RULES``.
        cap: largest count; 0 for none.
        ridge: weight of ``||c/N||^2``.

    Returns:
        Positions of shape (N,).
    """
    if rule == "geometry" and gram.rows.compiled:
        tolerances = (SUPPORT_TOLERANCE, _NUDGE, _SAME_LOSS, TIE_TOLERANCE * budget, _SAME_WEIGHT)
        most = cap if 0 < cap < budget else budget
        return _fast.geometry(gram.rows.pool, gram.b, weights, budget, most, ridge, tolerances)
    support = support_of(weights)
    block = gram.block(support)
    if ridge:
        block[np.diag_indices(len(support))] += ridge
    b, weights = gram.b[support], weights[support]
    counts = round_weights(block, b, weights, budget, rule, cap)
    order = training_order(weights, b)
    return np.repeat(support[order], counts[order])


def training_order(weights: Vector, b: Vector) -> NDArray[np.int64]:
    """Order by descending weight; ties, as of items at the cap, nearest first, then by lowest index."""
    order = np.argsort(-weights, kind="stable")
    ranked = weights[order]
    if (ranked[:-1] - ranked[1:] > _SAME_WEIGHT).all():
        return order
    return np.lexsort((-b, -(weights / _SAME_WEIGHT).round()))


def _floors(weights: Vector, budget: int, cap: int) -> Counts:
    return np.minimum(np.floor(budget * weights + _NUDGE).astype(np.int64), cap)


def _floor_greedy(gram: Matrix, b: Vector, weights: Vector, budget: int, cap: int) -> Counts:
    """Floors, then each remaining unit where it lowers the loss most."""
    counts = _floors(weights, budget, cap)
    # What a unit of each would change; twice the Gram column is what one more unit adds to it.
    change = 2.0 * (gram @ counts - budget * b) + np.diagonal(gram)
    change[counts >= cap] = np.inf
    double = 2.0 * gram
    for _ in range(budget - int(counts.sum())):
        best = int(change.argmin())
        counts[best] += 1
        change += double[best]
        if counts[best] >= cap:
            change[best] = np.inf
    return counts


def _distances(gram: Matrix) -> Matrix:
    """Squared distances between the items, shape (m, m)."""
    diagonal = np.diagonal(gram)
    return np.asarray(diagonal[:, None] + diagonal[None, :] - 2.0 * gram)


def _descend(gram: Matrix, distance: Matrix, b: Vector, counts: Counts, budget: int, cap: int) -> float:
    """Move single units, steepest first, until none lowers the loss; changes ``counts`` and returns ``F``.

    The source is taken from the counts as they are *now*, so none can fall below zero. Every move lowers F
    by more than the tolerance and F is bounded below, so this ends.
    """
    size, smallest_gain = len(counts), TIE_TOLERANCE * budget
    h = 2.0 * (gram @ counts - budget * b)
    change, bounded = np.empty_like(distance), cap < budget
    while True:
        giving = np.where(counts > 0, h, -np.inf)  # an item without units cannot give one
        taking = np.where(counts < cap, h, np.inf) if bounded else h
        np.add(distance, taking, change)
        np.subtract(change, giving[:, None], change)
        source, to = divmod(int(change.argmin()), size)
        if not change.item(source, to) < -smallest_gain:
            return float(counts @ (0.5 * h - budget * b))
        counts[source] -= 1
        counts[to] += 1
        h += 2.0 * (gram[to] - gram[source])
