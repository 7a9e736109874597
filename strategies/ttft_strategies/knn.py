"""Nearest neighbours."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ttft_bench.selector import Problem, Selection, Selector


class KNN(Selector):
    """Nearest neighbours of the prompt, nearest first, each once.

    ``argsort_i -<p_i, q>`` with q the mean of the query rows (not necessarily of unit norm, which does not
    change the order). This is TTT-NN (Hardt & Sun, arXiv 2305.18466, section 2), which found nearest first
    clearly better than farthest first. Exact duplicates come by lowest index.

    Cost: O(K d + K log K). Use it as the baseline that every other strategy has to beat: it selects for
    free, and wastes steps where the neighbours say the same thing.
    """

    nested: ClassVar[bool] = True
    repeats: ClassVar[bool] = False

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick the N nearest."""
        # einsum sums each row alone and in one order; a matrix product may round equal rows differently.
        similarity = np.einsum("kd,d->k", problem.pool.astype(np.float64), problem.target)
        return Selection(np.argsort(-similarity, kind="stable")[: problem.budget])
