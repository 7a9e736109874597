"""Controls: HullFT with its counts taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies.hullft import HullFT


@dataclass(frozen=True, repr=False)
class HullShuffled(Selector):
    """HullFT's items with HullFT's counts dealt out at random: a control for what its weights add.

    The items that ``hullft`` picks, in its order, with its multiset of counts in a random order: as many
    distinct items, as many repeats, the same cost of finetuning with and without gradient reuse. If this does as well
    as ``hullft``, the weights carry nothing and only the choice of items does. Items come by descending new
    count, ties in HullFT's order, repeats consecutively.

    Objective: none.

    Cost: that of ``hullft``. Use it beside ``hullft`` and ``uniform-support`` in any claim about weights.

    Args:
        solver: as in ``hullft``.
        integerize: as in ``hullft``.
    """

    solver: str = "vanilla"
    integerize: str = "geometry"

    stochastic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        HullFT(solver=self.solver, integerize=self.integerize)

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Run HullFT, then shuffle its counts."""
        items, counts = _hull_counts(problem, rng, self.solver, self.integerize)
        return Selection(_expand(items, rng.permutation(counts)))


@dataclass(frozen=True, repr=False)
class UniformSupport(Selector):
    """HullFT's items, each equally often: a control for what its weights add.

    The m items that ``hullft`` picks, ``N // m`` steps each and one more for its ``N mod m`` heaviest; in HullFT's
    order, repeats consecutively.

    Objective: none.

    Cost: that of ``hullft``. Use it beside ``hullft`` and ``hull-shuffled`` in any claim about weights.

    Args:
        solver: as in ``hullft``.
        integerize: as in ``hullft``.
    """

    solver: str = "vanilla"
    integerize: str = "geometry"

    def __post_init__(self) -> None:
        HullFT(solver=self.solver, integerize=self.integerize)

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Run HullFT, then level its counts."""
        items, counts = _hull_counts(problem, rng, self.solver, self.integerize)
        share, more = divmod(int(counts.sum()), len(items))
        return Selection(_expand(items, np.full(len(items), share) + (np.arange(len(items)) < more)))


def _hull_counts(
    problem: Problem, rng: np.random.Generator, solver: str, rule: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """HullFT's distinct items in its order, and their counts."""
    positions = HullFT(solver=solver, integerize=rule).select(problem, rng).positions
    _, first, counts = np.unique(positions, return_index=True, return_counts=True)
    order = np.argsort(first)
    return positions[first[order]], counts[order].astype(np.int64)


def _expand(items: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    order = np.argsort(-counts, kind="stable")
    return np.repeat(items[order], counts[order])
