"""Maximal marginal relevance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies._gram import first_best
from ttft_strategies._rows import Rows, relevance


def check_trade(trade: float) -> None:
    """Refuse a trade-off outside [0, 1].

    Raises:
        ValueError: it is outside, or NaN.
    """
    if not 0.0 <= trade <= 1.0:
        raise ValueError(f"trade must be between 0 (diversity only) and 1 (relevance only), got {trade}")


@dataclass(frozen=True, repr=False)
class MMR(Selector):
    """Maximal marginal relevance: near the prompt, and not near what is already picked.

    ``argmax_i trade max_t <p_i, q_t> - (1 - trade) max_{s picked} <p_i, p_s>`` over the items not yet picked,
    the most relevant first (Carbonell & Goldstein, SIGIR 1998). Relevance is the similarity to the nearest of
    the query rows, so each part of a multi-vector prompt can be served. Ties go to the lowest index.

    Objective: none, a greedy rule.

    Cost: O(N K d). Use it as the standard heuristic for diversity, without a model behind it.

    Args:
        trade: weight of relevance against redundancy, 0 to 1; 1 is ``knn`` (for one query row).
    """

    trade: float = 0.5

    nested: ClassVar[bool] = True
    repeats: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_trade(self.trade)

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick N greedily."""
        rows = Rows(problem.pool)
        scores = relevance(rows, problem.query)  # decides the first pick, whatever the trade
        relevant = self.trade * scores
        redundancy = np.full(problem.size, -np.inf)
        positions = np.empty(min(problem.budget, problem.size), dtype=np.int64)
        for step in range(len(positions)):
            scores[positions[:step]] = -np.inf
            positions[step] = first_best(scores)
            np.maximum(redundancy, rows.dot(rows[positions[step]]), out=redundancy)
            scores = relevant - (1.0 - self.trade) * redundancy
        return Selection(positions)
