"""Facility location: items that stand for the whole pool, with a term for the prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies._gram import TIE_TOLERANCE, Matrix, Vector, first_best
from ttft_strategies._rows import Rows, relevance
from ttft_strategies.mmr import check_trade

#: Entries of the K x K similarities held at a time.
_BLOCK = 2**22
#: Items looked at again together.
_BATCH = 32


@dataclass(frozen=True, repr=False)
class FacilityLocation(Selector):
    """Items that represent the pool and are near the prompt: exact greedy facility location.

    Maximises ``F(S) = (1 - trade) sum_j max(0, max_{i in S} <p_i, p_j>) + trade sum_{i in S} max(0, r_i)`` over
    the pool items j, ``r_i = max_t <p_i, q_t>`` the similarity to the nearest query row (the query term of
    Kothawade et al., AAAI 2022, beside plain coverage). F is monotone and submodular, so the greedy set is
    within 1 - 1/e of the best one (Nemhauser, Wolsey & Fisher 1978). Ties go to the lowest index.

    Objective: coverage of the pool plus relevance, greedily, within 1 - 1/e of the best.

    Gains never grow, so only items whose old gain still exceeds the best new one are looked at again (Minoux
    1978), which here is exact. Cost: O(K^2 d) once, then O(K d) for each of these (O(K) up to K = 2048, where
    the similarities are kept); memory O(K) above that. Use it where the pool has clusters, and each should be
    trained on once; pools of tens of thousands take minutes.

    Args:
        trade: weight of relevance against coverage, 0 to 1; 1 is ``knn`` (for one query row).
    """

    trade: float = 0.5

    nested: ClassVar[bool] = True
    repeats: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_trade(self.trade)

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick N greedily; diagnostics hold F at the end."""
        coverage = _Coverage(Rows(problem.pool))
        worth = self.trade * relevance(coverage.rows, problem.query)
        if self.trade < 1.0:
            np.maximum(worth, 0.0, out=worth)
        gains = np.full(problem.size, np.inf)  # upper bounds: what an item would add when last looked at
        positions = np.empty(min(problem.budget, problem.size), dtype=np.int64)
        value = 0.0
        for step in range(len(positions)):
            self._refresh(gains, worth, coverage)
            pick = first_best(gains)
            positions[step] = pick
            value += float(gains[pick])
            gains[pick] = -np.inf
            coverage.add(pick)
        return Selection(positions, diagnostics={"facility_location": value})

    def _refresh(self, gains: Vector, worth: Vector, coverage: _Coverage) -> None:
        """Bring gains up to date until no old one reaches the best new one."""
        stale = gains > -np.inf
        best = -np.inf
        while True:
            rivals = np.flatnonzero(stale & (gains >= best - TIE_TOLERANCE))
            if not len(rivals):
                return
            if gains[rivals[0]] < np.inf:  # all have been looked at before: the most promising first
                rivals = rivals[np.argsort(-gains[rivals], kind="stable")[:_BATCH]]
            gains[rivals] = worth[rivals] + (1.0 - self.trade) * coverage.gains(rivals)
            stale[rivals] = False
            best = max(best, float(gains[rivals].max()))


class _Coverage:
    """How well the picks stand for each pool item."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.best = np.zeros(len(rows))  # similarity of each item to the pick that stands for it, at least 0
        self._all = rows.products(np.arange(len(rows))) if len(rows) ** 2 <= _BLOCK else None

    def similarities(self, items: NDArray[np.int64]) -> Matrix:
        """Inner products of some items with all, shape (len(items), K)."""
        return self.rows.products(items) if self._all is None else self._all[items]

    def gains(self, items: NDArray[np.int64]) -> Vector:
        """What each of some items would add to the sum of ``best``."""
        height = max(_BLOCK // len(self.rows), 1)
        parts = (self.similarities(items[start : start + height]) for start in range(0, len(items), height))
        return np.concatenate([np.maximum(part - self.best, 0.0).sum(axis=1) for part in parts])

    def add(self, item: int) -> None:
        """Let an item stand for those it is nearest to."""
        np.maximum(self.best, self.similarities(np.array([item]))[0], out=self.best)
