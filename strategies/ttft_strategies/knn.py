"""Nearest neighbours: each once, or the nearer half twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies._rows import Rows

ORDERS = ("nearest", "farthest")


@dataclass(frozen=True, repr=False)
class KNN(Selector):
    """Nearest neighbours of the prompt, nearest first, each once.

    ``argsort_i -<p_i, q>`` with q the mean of the query rows (not necessarily of unit norm, which does not
    change the order). This is TTT-NN (Hardt & Sun, arXiv 2305.18466, section 2), which found nearest first
    clearly better than farthest first. Exact duplicates come by lowest index.

    Objective: none.

    Cost: O(K d + K log K). Use it as the baseline that every other strategy has to beat: it selects for
    free, and wastes steps where the neighbours say the same thing.

    Args:
        order: "nearest" or "farthest" first. Both train on the same N items; with "farthest" the picks for a
            smaller budget are other ones, so that order is not nested.
    """

    order: str = "nearest"

    nested: ClassVar[bool] = True
    repeats: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(ORDERS)}, got {self.order!r}")
        # What the class declares holds for its defaults; this instance declares what holds for it.
        object.__setattr__(self, "nested", self.order == "nearest")

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick the N nearest."""
        similarity = Rows(problem.pool).similarity(problem.target)
        nearest = order_by(similarity)[: problem.budget]
        if self.order == "farthest":
            nearest = np.sort(nearest)
            nearest = nearest[np.argsort(similarity[nearest], kind="stable")]
        return Selection(nearest)


class KNNRepeat(Selector):
    """The nearest half of the budget, each item twice in a row: a control for what repeating does.

    The top ``ceil(N / 2)`` by ``<p_i, q>``, q the mean of the query rows: 1, 1, 2, 2, 3, ... A method that
    repeats important items must beat this, which repeats without asking which are important, to have shown
    that its choice matters. Where N is above 2 K the sequence starts again.

    Objective: none.

    Cost: that of ``knn``. Use it beside ``hullft`` and ``sift``, and beside gradient reuse.
    """

    nested: ClassVar[bool] = True

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick the nearest, each twice."""
        order = order_by(Rows(problem.pool).similarity(problem.target))
        half = order[: (problem.budget + 1) // 2]
        return Selection(np.resize(np.repeat(half, 2), problem.budget))


def order_by(score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions by falling score; equal scores by lowest index."""
    return np.argsort(-score, kind="stable")
