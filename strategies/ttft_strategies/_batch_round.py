"""The rounding rule ``geometry`` for many prompts at once; see :mod:`ttft_strategies._integerize`.

Supports differ in size, so they are padded to the largest: padding has no weight, can be given no unit and so
can give none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_strategies._arrays import Arrays
from ttft_strategies._gram import TIE_TOLERANCE

#: Keeps 0.9999999999 = N * (1 / N) from losing its unit.
_NUDGE = 1e-9
#: Difference of F that rounding may make between equals.
_SAME_LOSS = 1e-9


def round_many(
    arrays: Arrays,
    slopes: Any,
    b: Any,
    weights: NDArray[np.float64],
    supports: Sequence[NDArray[np.int64]],
    budget: int,
) -> NDArray[np.int64]:
    """Counts of each prompt over its support, shape (B, M) for the largest support M; 0 beyond the support.

    Args:
        arrays: where to work.
        slopes: ``D[s] = b - G[s]``, shape (B, K, K).
        b: ``P q``, shape (B, K).
        weights: convex, shape (B, K).
        supports: items with weight, ascending, of each prompt.
        budget: N.
    """
    module, count = arrays.module, len(supports)
    widest = max(len(support) for support in supports)
    items, real = np.zeros((count, widest), dtype=np.int64), np.zeros((count, widest), dtype=np.bool_)
    for index, support in enumerate(supports):
        items[index, : len(support)] = support
        real[index, : len(support)] = True
    shares = np.where(real, np.take_along_axis(weights, items, axis=1), 0.0)
    where, mask, w = arrays.put(items), arrays.put(real), arrays.put(shares)
    each = arrays.count(count)
    linear = b[each[:, None], where]
    block = linear[:, None, :] - slopes[each[:, None, None], where[:, :, None], where[:, None, :]]
    del slopes
    floors = module.floor(budget * w + _NUDGE)
    starts = _starts(arrays, block, linear, w, floors, mask, budget)
    blocks, linears, masks = (module.concatenate([part, part]) for part in (block, linear, mask))
    ends = _descend(arrays, blocks, linears, masks, module.concatenate(starts), budget)
    first, second = ends[:count], ends[count:]
    better = _loss(block, linear, second, budget) < _loss(block, linear, first, budget) - _SAME_LOSS
    return arrays.get(module.where(better[:, None], second, first)).astype(np.int64)


def _starts(arrays: Arrays, block: Any, linear: Any, w: Any, floors: Any, mask: Any, budget: int) -> list[Any]:
    """Floor-and-greedy, and largest remainder: two (B, M) of counts."""
    module, each = arrays.module, arrays.count(len(w))
    missing = budget - floors.sum(axis=1)
    change = 2.0 * ((block @ floors[:, :, None])[:, :, 0] - budget * linear) + block.diagonal(0, 1, 2)
    change = module.where(mask, change, module.inf)
    remainder = module.where(mask, budget * w - floors, -module.inf)
    greedy, largest = floors + 0.0, floors + 0.0
    for unit in range(int(missing.max())):
        due = (missing > unit) * 1.0
        best = change.argmin(axis=1)
        greedy[each, best] += due
        change = change + 2.0 * block[each, best] * due[:, None]
        best = remainder.argmax(axis=1)
        largest[each, best] += due
        remainder[each, best] = -module.inf
    return [greedy, largest]


def _descend(arrays: Arrays, block: Any, linear: Any, mask: Any, counts: Any, budget: int) -> Any:
    """Steepest moves of single units, each prompt on its own, until none lowers its loss."""
    module, width = arrays.module, counts.shape[1]
    each = live = arrays.count(len(counts))
    ends = counts + 0.0
    diagonal = block.diagonal(0, 1, 2)
    distance = diagonal[:, :, None] + diagonal[:, None, :] - 2.0 * block
    h = 2.0 * ((block @ counts[:, :, None])[:, :, 0] - budget * linear)
    rounds = 0
    while True:
        giving = module.where(counts > 0.0, h, -module.inf)  # an item without units cannot give one
        taking = module.where(mask, h, module.inf)
        change = ((distance + taking[:, None, :]) - giving[:, :, None]).reshape(len(counts), -1)
        best = change.argmin(axis=1)
        moves = change[each, best] < -TIE_TOLERANCE * budget
        source, to = best // width, best % width
        unit = moves * 1.0
        counts[each, source] -= unit
        counts[each, to] += unit
        h = h + 2.0 * unit[:, None] * (block[each, to] - block[each, source])
        if rounds % arrays.patience == 0:
            going = arrays.get(moves)
            if going.sum() <= 0.6 * len(going):
                ends[live] = counts
                if not going.any():
                    return ends
                keep = arrays.put(np.flatnonzero(going))
                live, each = live[keep], arrays.count(int(going.sum()))
                block, distance, mask, counts, h = block[keep], distance[keep], mask[keep], counts[keep], h[keep]
        rounds += 1


def _loss(block: Any, linear: Any, counts: Any, budget: int) -> Any:
    """``F(c)`` of each prompt."""
    of_counts = (block @ counts[:, :, None])[:, :, 0]
    return ((of_counts - 2.0 * budget * linear) * counts).sum(axis=1)
