"""The exact optimum that HullFT approximates, from a general-purpose solver."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from ttft_bench.errors import UsageError
from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies._gram import TIE_TOLERANCE, Gram, Vector, support_of
from ttft_strategies._integerize import RULES, integerize
from ttft_strategies._simplex import Program, upper_bound
from ttft_strategies.hullft import check_choice

#: What an interior-point method leaves on items outside the support; the cleaning tries each.
_FLOORS = (0.0, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5)
#: Clarabel's own defaults (1e-8) are too loose for a reference of certificates.
_SETTINGS: dict[str, dict[str, Any]] = {
    "CLARABEL": {"tol_gap_abs": 1e-13, "tol_gap_rel": 1e-13, "tol_feas": 1e-13, "tol_ktratio": 1e-10},
}


@dataclass(frozen=True, repr=False)
class ExactQP(Selector):
    """Exact optimum of HullFT's quadratic program by cvxpy, rounded the same way: the reference.

    ``min_w ||q - P^T w||^2 + ridge ||w||^2`` subject to ``w >= 0, sum w = 1`` and ``w_i <= cap / N``, all of it: the
    budget does not stop the solver. Weights are cleaned to the feasible set; objective and Frank-Wolfe gap are
    computed from the cleaned weights, not taken from the solver. q is the mean of the query rows.

    Objective: that of ``hullft``, to about 1e-12.

    Cost: an interior-point solve, O(K^3) per iteration, plus cvxpy's set-up: hundreds of milliseconds at
    K = 200. Use it to check other solvers, not to save time.

    Args:
        solver: any conic or quadratic solver that cvxpy has installed, e.g. CLARABEL, SCS, OSQP.
        integerize: the rule of rounding, as in ``hullft``.
        cap: largest number of steps on one item; 0 for no cap.
        ridge: weight of ``||w||^2``.
    """

    solver: str = "CLARABEL"
    integerize: str = "geometry"
    cap: int = 0
    ridge: float = 0.0

    def __post_init__(self) -> None:
        check_choice("integerize", self.integerize, RULES)
        for name in ("cap", "ridge"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be a finite number of at least 0, got {getattr(self, name)}")

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Solve, clean, certify, round.

        Raises:
            UsageError: cvxpy does not have the solver, or the cap leaves no room for the budget.
            RuntimeError: the solver failed or returned no weights.
        """
        gram = Gram(problem.pool, problem.target)
        program = Program(gram, upper_bound(problem.size, problem.budget, self.cap), self.ridge)
        raw, status, iterations = _solve(program, self.solver)
        weights, objective, gap = _clean(program, raw)
        return Selection(
            positions=integerize(gram, weights, problem.budget, self.integerize, self.cap, self.ridge),
            weights=weights,
            objective=objective,
            gap=gap,
            status=status,
            diagnostics={"iterations": float(iterations), "support": float(len(support_of(weights)))},
        )


def _solve(program: Program, solver: str) -> tuple[Vector, str, int]:
    """Ask cvxpy; the weights come back as the solver left them.

    Since the weights sum to 1, ``q - P^T w = -(P - 1 q^T)^T w``: the solver sees the differences, which keeps
    its figures accurate when the optimum is near zero.
    """
    import cvxpy

    if solver not in cvxpy.installed_solvers():
        known = ", ".join(cvxpy.installed_solvers())
        raise UsageError(f"exact-qp: cvxpy has no solver {solver!r} here; installed are {known}")
    differences = program.gram.rows.take(slice(None)) - program.gram.target
    weights = cvxpy.Variable(len(differences), nonneg=True)
    objective = cvxpy.sum_squares(differences.T @ weights)
    constraints = [cvxpy.sum(weights) == 1]
    if program.ridge:
        objective += program.ridge * cvxpy.sum_squares(weights)
    if program.capped:
        constraints.append(weights <= program.upper)
    model = cvxpy.Problem(cvxpy.Minimize(objective), constraints)
    try:
        # Settings below what a solver can reach end in "optimal_inaccurate" and a warning; the gap says how
        # accurate the answer is, so the warning adds nothing.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            model.solve(solver=solver, **_SETTINGS.get(solver, {}))
    except cvxpy.error.SolverError as error:
        raise RuntimeError(f"exact-qp: {solver} failed ({error}); try another, exact-qp[solver=...]") from error
    if weights.value is None:
        raise RuntimeError(f"exact-qp: {solver} found no weights (status {model.status})")
    return (
        np.asarray(weights.value, dtype=np.float64),
        str(model.status),
        model.solver_stats.num_iters or 0,
    )


def _clean(program: Program, raw: Vector) -> tuple[Vector, float, float]:
    """Put weights on the feasible set without the dust of an interior point.

    The highest floor whose certified gap is the smallest, to rounding.
    """
    candidates = []
    for floor in _FLOORS:
        weights = np.where(raw > floor, raw, 0.0)
        if program.capped:
            weights = _bounded(np.where(raw > program.upper - floor, program.upper, weights), program.upper)
        elif weights.any():
            weights /= weights.sum()
        if abs(weights.sum() - 1.0) < 1e-9:
            candidates.append((weights, *program.certify(weights)))
    smallest = min(gap for _, _, gap in candidates)
    return [candidate for candidate in candidates if candidate[2] <= smallest + TIE_TOLERANCE][-1]


def _bounded(weights: Vector, upper: float) -> Vector:
    """Scale the weights below the bound until all sum to 1, those that reach it staying there.

    If none is left to scale, the result does not sum to 1.
    """
    weights = np.minimum(weights, upper)
    for _ in range(len(weights)):
        free = (weights > 0.0) & (weights < upper)
        left = 1.0 - float(weights[~free].sum())
        if not free.any() or left < 0.0:
            break
        weights[free] *= left / weights[free].sum()
        if weights.max() <= upper:
            break
        weights = np.minimum(weights, upper)
    return weights
