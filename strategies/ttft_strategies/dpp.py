"""Determinantal point process: the most voluminous set of relevant items, greedily."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies._gram import Vector
from ttft_strategies._posterior import Posterior, pick_greedily
from ttft_strategies._rows import relevance
from ttft_strategies.mmr import check_trade

#: Added to the diagonal of the kernel, so that sets larger than the rank of the pool have a determinant.
RIDGE = 1e-3


@dataclass(frozen=True, repr=False)
class DPP(Selector):
    """Greedy MAP of a determinantal point process whose kernel weighs items by relevance.

    Each pick raises ``(1 - trade) log det(G_S + 0.001 I) + trade sum_{i in S} r_i`` most, G the Gram matrix and
    ``r_i = max_t <p_i, q_t>`` the similarity to the nearest query row: up to a factor, the log-determinant of
    the kernel ``diag(e) (G + 0.001 I) diag(e)`` with ``e_i = exp(trade r_i / (2 (1 - trade)))`` (Chen, Zhang &
    Zhou, NeurIPS 2018; Kulesza & Taskar 2012). The gain of an item is the log of its posterior variance given
    the picks plus its relevance, updated as in an incremental Cholesky factorisation.

    Objective: a log-determinant plus relevance, greedily.

    Cost: O(N d (K + N)), no K x K matrix. Use it where the picks should span much: diversity counts all
    picks together, where ``mmr`` looks at the most similar one only.

    Args:
        trade: weight of relevance against diversity, 0 to 1; 1 is ``knn`` (for one query row).
    """

    trade: float = 0.8

    nested: ClassVar[bool] = True
    repeats: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_trade(self.trade)

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick N greedily."""
        posterior = Posterior(problem.pool, problem.query[:0], RIDGE, min(problem.budget, problem.size))
        relevant = self.trade * relevance(posterior.rows, problem.query)

        def gains(state: Posterior) -> Vector:
            return np.asarray((1.0 - self.trade) * np.log(state.noisy) + relevant)

        return Selection(pick_greedily(posterior, gains, problem.budget, repeats=False))
