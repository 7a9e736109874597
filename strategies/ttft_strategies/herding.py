"""Kernel herding: each pick makes good for what the picks before it missed."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies._gram import first_best
from ttft_strategies._rows import Rows


class Herding(Selector):
    """Kernel herding towards the prompt: the running mean of the picks follows the prompt; repeats allowed.

    ``x_{n+1} = argmax_i <w_n, p_i>`` and ``w_{n+1} = w_n + q - x_{n+1}`` from ``w_0 = q`` (Welling 2009; Chen,
    Welling & Smola, UAI 2010), q the mean of the query rows. This is Frank-Wolfe on ``||q - mean||^2`` with
    steps 1/(n+1) (Bach, Lacoste-Julien & Obozinski, ICML 2012), so every prefix of the picks is a
    reconstruction with equal weights: ``hullft`` for all budgets at once. Ties go to the lowest index.

    Objective: ``||q - mean of the picks||^2``, greedily, for every budget.

    Cost: O(N K d). Use it for the objective of ``hullft`` where one finetuning run should serve all budgets.
    """

    nested: ClassVar[bool] = True

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick N greedily."""
        rows = Rows(problem.pool)
        wanted = problem.target.copy()
        positions = np.empty(problem.budget, dtype=np.int64)
        for step in range(problem.budget):
            positions[step] = first_best(rows.dot(wanted))
            wanted += problem.target - rows[positions[step]]
        return Selection(positions)
