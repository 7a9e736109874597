"""Many prompts at once: problems of one shape are stacked, and each step of a method is taken for all of them.

A single selection is hundreds of steps on arrays of K entries, which no accelerator is good at and which cost
NumPy a call each. Stacked, one operation serves B prompts. The Gram matrices come from one batched matrix
product, which is compute-bound, where one column at a time is bound by memory. Prompts that are finished leave
the batch.

Answers equal those of the single methods up to exact ties: sums are in float64, scores within
:data:`~ttft_strategies._gram.TIE_TOLERANCE` are ties, and ties go to the lowest index.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies import _fast
from ttft_strategies._arrays import Arrays, arrays_on, even_bounds
from ttft_strategies._fused import run_fused, sift_fused

Answer = Callable[[Sequence[Problem]], list[Selection]]

#: Gram columns cost so many times less in one product of all K than one at a time, measured at K = 200.
_COLUMN_DISCOUNT = 8


def select_together(
    selector: Selector,
    problems: Sequence[Problem],
    rngs: Sequence[np.random.Generator],
    arrays: Arrays,
    answer: Answer,
    pays: Callable[[Problem], bool],
) -> list[Selection]:
    """Answer problems in batches of one shape of pool and query and one budget, or one at a time.

    Args:
        selector: answers those for which a batch does not pay.
        problems: of any shapes.
        rngs: one generator for each.
        arrays: where batches are worked on; bounds their size.
        answer: answers a batch.
        pays: whether a problem is better answered in a batch.

    Returns:
        One selection for each problem, in their order.
    """
    pairs = list(zip(problems, rngs, strict=True))
    answers: dict[int, Selection] = {}
    chosen = [index for index, problem in enumerate(problems) if pays(problem)]
    for batch in _batches(problems, chosen, arrays.batch_bytes):
        answers.update(zip(batch, answer([problems[index] for index in batch]), strict=True))
    return [answers[index] if index in answers else selector.select(*pair) for index, pair in enumerate(pairs)]


def columns_pay(problem: Problem) -> bool:
    """Whether all Gram columns in one product cost less than the budget's columns one at a time."""
    return _COLUMN_DISCOUNT * problem.budget >= problem.size


def _batches(problems: Sequence[Problem], chosen: Sequence[int], most_bytes: int) -> Iterator[list[int]]:
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for index in chosen:
        problem = problems[index]
        groups[problem.pool.shape, problem.query.shape, problem.budget, problem.pool.dtype].append(index)
    for (pool_shape, _, budget, _), members in groups.items():
        size, dimensions = pool_shape
        height = max(most_bytes // (8 * size * (size + dimensions + budget)), 1)
        for start, stop in even_bounds(len(members), -(-len(members) // height)):
            yield members[start:stop]


def gram_matrices(rows: Any) -> Any:
    """``P P^T`` for each of a batch of pools: (B, K, d) to (B, K, K)."""
    return rows @ rows.swapaxes(1, 2)


def select_sift(
    selector: Selector,
    problems: Sequence[Problem],
    rngs: Sequence[np.random.Generator],
    device: str | None,
    lam: float,
    repeats: bool,
) -> list[Selection]:
    """``SIFT.select_many``: in batches if a device is named, or where all of the Gram matrix is worth making.

    Compiled loops leave nothing between array operations to share, so where they run, each prompt runs alone.
    """
    arrays = arrays_on(device)

    def answer(batch: Sequence[Problem]) -> list[Selection]:
        fused = run_fused(arrays, lambda there: sift_fused(batch, there, lam, repeats))
        return fused if fused is not None else sift_many(batch, arrays, lam, repeats)

    def pays(problem: Problem) -> bool:
        return device is not None or (columns_pay(problem) and not _fast.available())

    return select_together(selector, problems, rngs, arrays, answer, pays)


def sift_many(problems: Sequence[Problem], arrays: Arrays, lam: float, repeats: bool = True) -> list[Selection]:
    """Exact greedy SIFT of problems of equal shape and budget; see ``sift`` for the method.

    Step for all prompts: scores, the best item of each, its posterior column
    ``C[:, i] = G[:, i] - sum_s u_s u_s[i]``, and the rank-one update of scores and diagonals.
    """
    module, shape = arrays.module, problems[0].pool.shape
    count, size = len(problems), shape[0]
    budget = problems[0].budget if repeats else min(problems[0].budget, size)
    rows = arrays.stack([problem.pool for problem in problems])
    targets = arrays.stack([problem.query for problem in problems])
    gram = gram_matrices(rows)
    cross = targets @ rows.swapaxes(1, 2)  # C[t, i] of each prompt, (B, m, K)
    each = arrays.count(count)
    diagonal = gram.diagonal(0, 1, 2) + 0.0
    factors = arrays.empty(count, budget, size)
    variance = (targets * targets).sum(axis=(1, 2))
    picks: list[Any] = []
    for step in range(budget):
        scores = (cross * cross).sum(axis=1) / (diagonal + lam)
        for earlier in [] if repeats else picks:
            scores[each, earlier] = -module.inf
        pick = arrays.first_best(scores)
        picks.append(pick)
        variance = variance - scores[each, pick]
        if step == budget - 1:
            break
        column = gram[each, pick]
        if step:
            column = column - (factors[each, :step, pick][:, None, :] @ factors[:, :step])[:, 0]
        scale = module.sqrt(diagonal[each, pick] + lam)[:, None]
        column /= scale
        factors[:, step] = column
        cross -= (cross[each, :, pick] / scale)[:, :, None] * column[:, None, :]
        diagonal -= column * column
        diagonal = diagonal.clip(min=0.0)  # rounding may not make it negative
    positions = np.stack([arrays.get(pick) for pick in picks], axis=1).astype(np.int64)
    left = np.maximum(arrays.get(variance), 0.0) / targets.shape[1]
    return [
        Selection(own, diagnostics={"posterior_variance": float(value)})
        for own, value in zip(positions, left, strict=True)
    ]
