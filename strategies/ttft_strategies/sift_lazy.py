"""SIFT with lazily updated gains: an approximation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies._gram import Matrix, Vector
from ttft_strategies._rows import Rows
from ttft_strategies.sift import check_noise

#: Gains are kept to so many decimals, so that rounding does not break ties; they go to the lowest index.
_DECIMALS = 12
#: Items brought up to date together at first; twice as many each time that was not enough.
_BATCH = 16


@dataclass(frozen=True, repr=False)
class SIFTLazy(Selector):
    """Approximate SIFT: gains are updated only for items that might be the next pick.

    Lazy greedy (Minoux 1978) on the gains of ``sift``: items are brought up to date in the order of their old
    gains until an up-to-date one exceeds all old ones, and is picked. That is exact only where gains never
    grow. Those of SIFT can grow (one pick may make another more useful), so the picks differ from those of
    ``sift``; this is the rule called SIFT-Fast (Hübotter et al., ICLR 2025, arXiv 2410.08020). Repeats
    allowed. Several query rows: the sum over them.

    Objective: that of ``sift``, approximately.

    Cost: O(K d) once, O(K) per pick, and O(d) for each item and pick brought up to date; memory O(K + N d).
    Use it to compare with; it saves time over ``sift`` only for large pools with few items near the prompt.

    Args:
        lam: observation noise, above 0.
    """

    lam: float = 0.2

    nested: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_noise(self.lam)

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick N; diagnostics count the gains that were brought up to date."""
        state = _Lazy(problem, self.lam)
        positions = np.empty(problem.budget, dtype=np.int64)
        for step in range(problem.budget):
            if step:
                state.refresh()
            positions[step] = pick = int(np.argmax(state.gains))
            state.observe(pick)
        return Selection(positions, diagnostics={"evaluations": float(state.evaluations)})


class _Lazy:
    """What is known of each item: covariances after its first ``seen`` observations, and an old gain."""

    def __init__(self, problem: Problem, lam: float) -> None:
        self.lam = lam
        self.rows = Rows(problem.pool)
        self.targets: Matrix = problem.query.astype(np.float64)
        self.cross: Matrix = np.stack([self.rows.dot(target) for target in self.targets], axis=1)
        self.variance = self.rows.squares()
        self.seen: NDArray[np.int64] = np.zeros(problem.size, dtype=np.int64)
        self.gains = self._gain(np.arange(problem.size))
        self.directions: Matrix = np.empty((problem.budget, problem.pool.shape[1]))
        self.of_targets: Matrix = np.empty((problem.budget, len(self.targets)))
        self.observed = 0
        self.evaluations = 0

    def _gain(self, items: NDArray[np.int64]) -> Vector:
        squares = np.einsum("km,km->k", self.cross[items], self.cross[items])
        gains: Vector = np.round(squares / (self.variance[items] + self.lam), _DECIMALS)
        return gains

    def refresh(self) -> None:
        """Look at items in order of their old gain until a new gain exceeds all old ones."""
        stale = np.ones(len(self.gains), dtype=bool)
        best, size = -np.inf, _BATCH
        while True:
            rivals = np.flatnonzero(stale & (self.gains >= best))
            if len(rivals) > size:
                rivals = rivals[np.argpartition(-self.gains[rivals], size)[:size]]
            if not len(rivals):
                return
            rivals = rivals[np.lexsort((rivals, -self.gains[rivals]))]
            self._update(rivals)
            new = self._gain(rivals)
            # One by one, an item would be looked at only while its old gain reaches the best new one so far.
            reached = np.maximum.accumulate(np.concatenate([[best], new[:-1]]))
            looked = rivals[self.gains[rivals] >= reached]
            self.gains[looked] = new[: len(looked)]
            stale[looked] = False
            self.evaluations += len(looked)
            if len(looked) < len(rivals):
                return
            best = max(best, float(new.max()))
            size *= 2

    def _update(self, items: NDArray[np.int64]) -> None:
        """Bring the covariances of some items up to date."""
        first = int(self.seen[items].min())
        loadings = self.rows.pool[items].astype(np.float64) @ self.directions[first : self.observed].T
        loadings[np.arange(first, self.observed) < self.seen[items, None]] = 0.0
        self.cross[items] -= loadings @ self.of_targets[first : self.observed]
        left = self.variance[items] - np.einsum("kn,kn->k", loadings, loadings)
        self.variance[items] = np.maximum(left, 0.0)  # rounding may not make it negative
        self.seen[items] = self.observed

    def observe(self, item: int) -> None:
        """Condition on a noisy observation of an item."""
        row = self.rows[item]
        earlier = self.directions[: self.observed]
        direction = (row - (earlier @ row) @ earlier) / np.sqrt(self.variance[item] + self.lam)
        self.directions[self.observed] = direction
        self.of_targets[self.observed] = self.targets @ direction
        self.observed += 1
