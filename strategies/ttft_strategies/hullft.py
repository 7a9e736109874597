"""HullFT: sparse reconstruction of the prompt in the convex hull of its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies._gram import Gram, support_of
from ttft_strategies._integerize import integerize
from ttft_strategies._simplex import frank_wolfe


@dataclass(frozen=True, repr=False)
class HullFT(Selector):
    """Frank-Wolfe reconstruction of the prompt in the hull of the pool, rounded to whole steps.

    ``min_w ||q - P^T w||^2`` over the simplex by vanilla Frank-Wolfe with exact line search, where the
    budget N stops the optimiser early, at N touched points (Khamis & Maalouf 2026, arXiv 2605.30337, method
    section). Then counts: floor, greedy units, steepest swaps. Steps come by descending weight, repeats of
    an item consecutively, which is what gradient reuse lives on. q is the mean of the query rows.

    ``gap`` certifies how far the stopped solver is from the optimum, ``0 <= f(w) - f* <= gap``; a small N
    stops it far away, a large one at ``max_iter``.

    Cost: O(K) per Frank-Wolfe step plus O(K d) per point touched, O(m^2) per swap for m points of support.
    Use it where several neighbours together say what none says alone; it repeats the important ones.

    Args:
        max_iter: largest number of Frank-Wolfe steps.
        tol: residual norm ``||q - x||`` below which the reconstruction counts as exact.
        gap_tol: Frank-Wolfe gap below which it counts as optimal.
    """

    max_iter: int = 250
    tol: float = 1e-5
    gap_tol: float = 1e-10

    def __post_init__(self) -> None:
        if self.max_iter < 1:
            raise ValueError(f"max_iter must be at least 1, got {self.max_iter}")
        for name in ("tol", "gap_tol"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be a finite number of at least 0, got {getattr(self, name)}")

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Reconstruct the mean query row, then round."""
        gram = Gram(problem.pool, problem.target)
        solution = frank_wolfe(
            gram, support_limit=problem.budget, max_iter=self.max_iter, tol=self.tol, gap_tol=self.gap_tol
        )
        return Selection(
            positions=integerize(gram, solution.weights, problem.budget),
            weights=solution.weights,
            objective=solution.objective,
            gap=solution.gap,
            status=solution.status,
            diagnostics={
                "iterations": float(solution.iterations),
                "support": float(len(support_of(solution.weights))),
            },
        )
