"""HullFT: sparse reconstruction of the prompt in the convex hull of its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ttft_bench.errors import UsageError
from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies._batch_hull import select_hullft
from ttft_strategies._gram import Gram, support_of
from ttft_strategies._integerize import RULES, integerize
from ttft_strategies._project import principal
from ttft_strategies._simplex import SOLVERS, Program, Solution, upper_bound

#: Beyond these nothing is gained, and arithmetic fails.
MOST_STEPS = 10**9
LARGEST_RIDGE = 1e6


def _in_rounds(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every item once in the order given, then those that are left a second time, and so on."""
    starts = np.flatnonzero(np.r_[True, positions[1:] != positions[:-1]])
    turn = np.arange(len(positions)) - np.repeat(starts, np.diff(np.r_[starts, len(positions)]))
    return positions[np.argsort(turn, kind="stable")]


#: From positions by descending weight, repeats consecutive, to the order of training.
ORDERS: Mapping[str, Callable[[NDArray[np.int64]], NDArray[np.int64]]] = {
    "heaviest": lambda positions: positions,
    "lightest": lambda positions: positions[::-1].copy(),
    "rounds": _in_rounds,
}


@dataclass(frozen=True, repr=False)
class HullFT(Selector):
    """Frank-Wolfe reconstruction of the prompt in the hull of the pool, rounded to whole steps.

    ``min_w ||q - P^T w||^2 + ridge ||w||^2`` subject to ``w >= 0, sum w = 1`` and ``w_i <= cap / N`` (Khamis &
    Maalouf 2026, arXiv 2605.30337, method section: vanilla Frank-Wolfe, no ridge, no cap, and the budget N
    stops the optimiser early, at N touched points). Then counts ``c_i`` near ``N w_i``. Steps come by descending
    weight, repeats of an item consecutively, which is what gradient reuse lives on. q is the mean of the
    query rows.

    ``gap`` certifies how far the stopped solver is from the optimum, ``0 <= f(w) - f* <= gap``; a small N
    stops ``vanilla`` far away, a large one at ``max_iter``. The other solvers go on to the optimum whatever N.

    Objective: ``||q - P^T w||^2 + ridge ||w||^2`` over mixtures w of the pool, certified by ``gap``.

    Cost: O(K) per Frank-Wolfe step plus O(K d) per point touched, O(m^2) per swap for m points of support;
    ``corrective`` takes about five products of O(K d) whatever the budget. Use it where several neighbours together
    say what none says alone; it repeats the important ones. At small budgets ``solver=corrective`` has the lower
    loss, since its support is cut by nobody, and at larger ones it is faster; a ``cap`` or a ``ridge`` spreads the
    steps over more items.

    Args:
        solver: vanilla (as published), away, pairwise, or corrective (the exact optimum).
        gap_tol: Frank-Wolfe gap below which the reconstruction counts as optimal.
        max_iter: largest number of steps of the solver.
        tol: residual norm ``||q - x||`` below which ``vanilla`` counts it as exact.
        integerize: geometry (the best of two local optima), largest_remainder, exact (searches all counts on
            the support; small cases), or published.
        cap: largest number of steps on one item; 0 for no cap.
        ridge: weight of ``||w||^2``; it spreads the weights.
        order: of the steps, repeats of an item together: heaviest weight first (as published) or lightest first; or
            rounds, which takes every item once before any a second time, so that no gradient can be reused.
        project: number of principal components of the pool in which to select; 0 for the embedding space
            itself. ``objective`` and ``gap`` are those of the embedding space all the same.
    """

    solver: str = "vanilla"
    gap_tol: float = 1e-10
    max_iter: int = 250
    tol: float = 1e-5
    integerize: str = "geometry"
    cap: int = 0
    ridge: float = 0.0
    project: int = 0
    order: str = "heaviest"

    def __post_init__(self) -> None:
        check_choice("solver", self.solver, SOLVERS)
        check_choice("integerize", self.integerize, RULES)
        check_choice("order", self.order, ORDERS)
        if not 1 <= self.max_iter <= MOST_STEPS:
            raise ValueError(f"max_iter must be between 1 and {MOST_STEPS:,}, got {self.max_iter}")
        if self.ridge > LARGEST_RIDGE:
            raise ValueError(f"ridge must be at most {LARGEST_RIDGE:g}, got {self.ridge}")
        for name in ("tol", "gap_tol", "ridge", "cap", "project"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be a finite number of at least 0, got {getattr(self, name)}")

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Reconstruct the mean query row, then round.

        Raises:
            UsageError: the cap leaves no room for the budget.
        """
        upper = upper_bound(problem.size, problem.budget, self.cap)
        gram = Gram(problem.pool, problem.target)
        used = Gram(*principal(problem.pool, problem.target, self.project)) if self.project else gram
        solution = self._solve(used, problem.budget, upper)
        diagnostics = {
            "iterations": float(solution.iterations),
            "support": float(len(support_of(solution.weights))),
        }
        positions = integerize(used, solution.weights, problem.budget, self.integerize, self.cap, self.ridge)
        positions = ORDERS[self.order](positions)
        if self.project:
            diagnostics |= {"projected_objective": solution.objective, "projected_gap": solution.gap}
            objective, gap = Program(gram, upper, self.ridge).certify(solution.weights)
            solution = replace(solution, objective=objective, gap=gap)
        return Selection(
            positions=positions,
            weights=solution.weights,
            objective=solution.objective,
            gap=solution.gap,
            status=solution.status,
            diagnostics=diagnostics,
        )

    def select_many(
        self, problems: Sequence[Problem], rngs: Sequence[np.random.Generator], *, device: str | None = None
    ) -> list[Selection]:
        """Answer many prompts in batches: vanilla solver, geometry, usual order, no cap, ridge or projection.

        Args:
            problems: of any shapes.
            rngs: one for each; not drawn from.
            device: "numpy", or where torch works, e.g. "cuda": batches there. None: what is fastest without torch.

        Raises:
            UsageError: torch cannot use the device, or these parameters have no batched form to put on it.
        """
        plain = (self.solver, self.integerize, self.order) == ("vanilla", "geometry", "heaviest")
        if not plain or self.cap or self.ridge or self.project:
            if device is not None:
                raise UsageError(f"{self!r} has no batched form for device {device!r}: leave the device out")
            return super().select_many(problems, rngs)
        return select_hullft(self, problems, rngs, device, max_iter=self.max_iter, tol=self.tol, gap_tol=self.gap_tol)

    def _solve(self, gram: Gram, budget: int, upper: float) -> Solution:
        only_vanilla = {"support_limit": budget, "tol": self.tol} if self.solver == "vanilla" else {}
        return SOLVERS[self.solver](
            gram, max_iter=self.max_iter, gap_tol=self.gap_tol, upper=upper, ridge=self.ridge, **only_vanilla
        )


def check_choice(name: str, value: str, known: Mapping[str, object]) -> None:
    """Refuse a word that is not one of the known ones.

    Raises:
        ValueError: naming the known ones.
    """
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
