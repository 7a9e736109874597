"""Which convex program a selector claims to solve, read from its parameters, and what follows from that.

The program is ``min f(w) = ||q - P^T w||^2 + ridge ||w||^2`` over ``0 <= w_i <= cap / N, sum w = 1``. A
selector with a parameter ``cap`` or ``ridge`` solves it with those; without them, or at 0, the plain one over
the simplex. These two names are part of the contract: whoever uses them for anything else claims a program
that it does not solve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ttft_bench.selector import Problem, Selector


@dataclass(frozen=True)
class Program:
    """A program, whatever the problem.

    Attributes:
        cap: largest number of the N steps that one item may take; 0 for no limit.
        ridge: weight of ``||w||^2`` in the objective.
    """

    cap: int = 0
    ridge: float = 0.0

    def upper(self, problem: Problem) -> float:
        """Largest weight an item may have."""
        return min(self.cap / problem.budget, 1.0) if self.cap else 1.0

    def feasible(self, problem: Problem) -> bool:
        """Whether the pool can take all steps under the cap."""
        return not self.cap or self.cap * problem.size >= problem.budget

    def objective(self, weights: ArrayLike, problem: Problem) -> float:
        """Compute f at ``weights``, shape (K,), from the residual itself, in float64."""
        w = np.asarray(weights, dtype=np.float64)
        residual = problem.target - w @ problem.pool.astype(np.float64)
        return float(residual @ residual) + self.ridge * float(w @ w)

    def rounded(self, positions: ArrayLike, problem: Problem) -> float:
        """Compute f at the weights that picks amount to: counts over their number."""
        picks = np.asarray(positions, dtype=np.int64)
        return self.objective(np.bincount(picks, minlength=problem.size) / len(picks), problem)

    def gap(self, weights: ArrayLike, problem: Problem) -> float:
        """Frank-Wolfe gap ``max_s <grad f(w), w - s>`` over the feasible set, at feasible ``weights``.

        The best s fills the items of steepest descent up to the bound, one after the other.
        """
        w = np.asarray(weights, dtype=np.float64)
        rows = problem.pool.astype(np.float64)
        gradient = 2.0 * (rows @ (w @ rows - problem.target) + self.ridge * w)
        upper = self.upper(problem)
        ascending = np.sort(gradient)
        filled = np.clip(1.0 - upper * np.arange(problem.size), 0.0, upper)
        return max(float(gradient @ w - ascending @ filled), 0.0)

    def optimum(self, problem: Problem) -> tuple[float, float]:
        """The minimum, and how far it may be above the true one (its Frank-Wolfe gap), for small pools."""
        weights = _sequential(self, problem) if self.upper(problem) < 1.0 else _nonnegative(self, problem)
        return self.objective(weights, problem), self.gap(weights, problem)


def program_of(selector: Selector) -> Program:
    """The program that a selector claims, from its parameters ``cap`` and ``ridge``, if it has them."""
    known = selector.parameters()
    cap, ridge = (getattr(selector, name, 0) if name in known else 0 for name in ("cap", "ridge"))
    return Program(int(cap or 0), float(ridge or 0.0))


def _nonnegative(program: Program, problem: Problem) -> NDArray[np.float64]:
    """Without a cap: non-negative least squares (Lawson and Hanson's active set, by scipy).

    ``min ||A v||^2 + (1^T v - 1)^2`` with the rows ``p_i - q`` in A, and ``sqrt(ridge) I`` below them. No weight
    on the last term is needed: writing ``v = t w`` with w on the simplex, the best t leaves ``f(w) / (1 + f(w))``,
    which rises with f, so the best v is a multiple of the best w.
    """
    from scipy.optimize import nnls

    differences = problem.pool.astype(np.float64) - problem.target
    ridge = np.sqrt(program.ridge) * np.eye(problem.size) if program.ridge else np.empty((0, problem.size))
    system = np.vstack([differences.T, ridge, np.ones(problem.size)])
    solution, _ = nnls(system, np.eye(len(system))[-1])
    return np.asarray(solution / solution.sum(), dtype=np.float64)


def _sequential(program: Program, problem: Problem) -> NDArray[np.float64]:
    """With a cap: sequential quadratic programming by scipy; made exactly feasible, so that its gap is one."""
    from scipy.optimize import minimize

    rows, upper = problem.pool.astype(np.float64), program.upper(problem)
    differences = rows - problem.target
    hessian = 2.0 * (differences @ differences.T + program.ridge * np.eye(problem.size))
    found = minimize(
        lambda w: 0.5 * float(w @ hessian @ w),
        np.full(problem.size, 1.0 / problem.size),
        jac=lambda w: hessian @ w,
        method="SLSQP",
        bounds=[(0.0, upper)] * problem.size,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like},
        options={"ftol": 1e-15, "maxiter": 500},
    )
    weights: NDArray[np.float64] = np.clip(np.asarray(found.x, dtype=np.float64), 0.0, upper)
    room = weights if weights.sum() > 1.0 else upper - weights
    total = float(room.sum())
    return np.asarray(weights + (1.0 - weights.sum()) * room / total if total else weights)


__all__ = ["Program", "program_of"]
