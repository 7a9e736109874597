"""Greedy k-center: cover the pool with few balls, starting at the prompt."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies._gram import first_best
from ttft_strategies._rows import Rows


class KCenter(Selector):
    """Farthest-first traversal of the pool, seeded by the item nearest to the prompt.

    First ``argmax_i <p_i, q>`` with q the mean of the query rows, then ``argmax_i min_{s picked} ||p_i - p_s||``:
    the greedy k-center rule (Gonzalez 1985), whose covering radius is at most twice the best (the core-set rule of
    Sener & Savarese, ICLR 2018). Ties go to the lowest index.

    Objective: the covering radius of the pool, within twice the best.

    Cost: O(N K d). Use it as the pure-diversity end of the scale: after the first pick the prompt counts only
    through the pool having been retrieved for it.
    """

    nested: ClassVar[bool] = True
    repeats: ClassVar[bool] = False

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick N greedily; diagnostics hold the covering radius left."""
        rows = Rows(problem.pool)
        squares = rows.squares()
        distance = np.full(problem.size, np.inf)  # squared, to the nearest pick
        scores = rows.dot(problem.target)
        positions = np.empty(min(problem.budget, problem.size), dtype=np.int64)
        for step in range(len(positions)):
            pick = first_best(scores)
            positions[step] = pick
            np.minimum(distance, squares + squares[pick] - 2.0 * rows.dot(rows[pick]), out=distance)
            scores = distance.copy()
            scores[positions[: step + 1]] = -np.inf
        radius = float(np.sqrt(max(distance.max(), 0.0)))
        return Selection(positions, diagnostics={"radius": radius})
