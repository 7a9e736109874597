"""The control: chance."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ttft_bench.selector import Problem, Selection, Selector


class Random(Selector):
    """Uniformly random candidates without repeats: the control for what selection adds to retrieval.

    The first N of one random permutation of the pool, so that the picks for n are a prefix of those for N.
    The pool already holds the nearest items, so this is random *among neighbours*, not from the corpus.

    Objective: none.

    Cost: O(K). Use it to see what choosing adds to retrieval.
    """

    nested: ClassVar[bool] = True
    repeats: ClassVar[bool] = False
    stochastic: ClassVar[bool] = True

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick N at random."""
        return Selection(rng.permutation(problem.size)[: problem.budget])
