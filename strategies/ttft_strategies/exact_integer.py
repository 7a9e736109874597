"""The exact optimum over whole steps, from a mixed-integer solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ttft_bench.errors import BrokenPluginError
from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies._gram import Gram, Vector
from ttft_strategies._integerize import integerize
from ttft_strategies._simplex import Program, Solution, corrective, upper_bound

#: What SCIP says, in the words of this project.
_STATUS = {"optimal": "optimal", "timelimit": "time_limit", "nodelimit": "node_limit", "gaplimit": "optimal"}
#: Differences of f up to this are not searched for.
_PROVED = 1e-9
#: SCIP takes constraints for met within 1e-6: with weights scaled by this, f is off by 1e-8.
_SCALE = 10.0
_SETTINGS = {"limits/gap": 0.0, "parallel/maxnthreads": 1}
_MISSING = "exact-integer needs SCIP: pip install 'ttft-bench[exact]' (or pip install pyscipopt)"


@dataclass(frozen=True, repr=False)
class ExactInteger(Selector):
    """Best whole steps of all, by an integer program: the reference for every rule of rounding.

    ``min_c ||q - (1/N) sum_i c_i p_i||^2 + ridge ||c/N||^2`` over whole ``0 <= c_i <= cap, sum c = N``. The convex
    relaxation is solved first, with optimum f* and reduced costs ``rho_i = (grad f)_i - lambda >= 0``; since
    ``f(c/N) >= f* + rho^T c / N``, a count above ``N (u - f*) / rho_i`` cannot beat the value u of the best rounding
    known, which removes most items for good. SCIP (Bolusani et al. 2024, arXiv 2402.17702) solves what is left,
    as ``min f* + rho^T c / N + ||R (c/N - w*)||^2`` with ``R^T R = G + ridge I``.

    Steps come by descending count, ties nearest first, repeats consecutively. q is the mean of the query rows.
    ``weights`` are the counts over N, ``objective`` is f there and ``gap`` their Frank-Wolfe gap in the relaxation.
    ``status`` is "optimal" if the optimum over the candidates is proved to 1e-8, else "time_limit" or
    "node_limit"; the answer is then the best one found, never worse than ``hullft[solver=corrective]``.
    Diagnostics: ``bound`` (proved lower bound over the candidates), ``candidates`` (items left).

    Objective: that of ``hullft`` over whole steps, the optimum proved where ``status`` is "optimal".

    Cost: exponential in the worst case; seconds for some tens of candidates. Use it as a reference for small pools
    and budgets, not as a strategy to run. An answer cut short by the clock may differ from run to run.

    Args:
        nearest: number of nearest items to which the search is restricted, besides those of the rounding it
            starts from; 0 for the whole pool. With a restriction, "optimal" speaks of the restricted pool.
        time_limit_s: seconds after which SCIP stops.
        cap: largest number of steps on one item; 0 for no cap.
        ridge: weight of ``||w||^2``.
    """

    nearest: int = 0
    time_limit_s: float = 10.0
    cap: int = 0
    ridge: float = 0.0

    requires: ClassVar[tuple[str, ...]] = ("pyscipopt",)

    def __post_init__(self) -> None:
        for name in ("nearest", "cap", "ridge"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be a finite number of at least 0, got {getattr(self, name)}")
        if not 0.0 < self.time_limit_s < float("inf"):
            raise ValueError(f"time_limit_s must be a finite number above 0, got {self.time_limit_s}")

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Relax, round, remove items that cannot help, solve.

        Raises:
            BrokenPluginError: SCIP is not installed.
            UsageError: the cap leaves no room for the budget.
        """
        budget = problem.budget
        gram = Gram(problem.pool, problem.target)
        program = Program(gram, upper_bound(problem.size, budget, self.cap), self.ridge)
        relaxed = corrective(gram, max_iter=10_000, gap_tol=1e-13, upper=program.upper, ridge=self.ridge)
        start = np.bincount(
            integerize(gram, relaxed.weights, budget, "geometry", self.cap, self.ridge), minlength=problem.size
        )
        most = self._most(problem, program, relaxed, start)
        candidates = np.flatnonzero(most)
        counts, status, bound = start, "optimal", program.certify(start / budget)[0]
        if len(candidates) > 1:
            found, status, bound = _solve(program, relaxed, budget, most, candidates, start, self.time_limit_s)
            if program.certify(found / budget)[0] < program.certify(start / budget)[0]:
                counts = found
        weights = counts / budget
        objective, gap = program.certify(weights)
        bound = max(bound, relaxed.objective - relaxed.gap)
        order = np.lexsort((-gram.b, -counts))
        return Selection(
            positions=np.repeat(order, counts[order]),
            weights=weights,
            objective=objective,
            gap=gap,
            status=status,
            diagnostics={
                "bound": min(max(bound, relaxed.objective - relaxed.gap), objective),
                "candidates": float(len(candidates)),
            },
        )

    def _most(
        self, problem: Problem, program: Program, relaxed: Solution, start: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Largest count of each item in an answer better than ``start``; 0 removes the item."""
        budget = problem.budget
        cap = self.cap if 0 < self.cap < budget else budget
        slack = max(program.certify(start / budget)[0] - (relaxed.objective - relaxed.gap), 0.0) + _PROVED
        costs, _ = _reduced_costs(program, relaxed.weights)
        most = np.floor(np.minimum(budget * slack / np.maximum(costs, 1e-15), cap)).astype(np.int64)
        if program.capped:  # items at the bound have negative costs; only those at zero can be bounded so
            most = np.where(relaxed.weights > 0.0, cap, most)
        if 0 < self.nearest < problem.size:
            most[np.argsort(-program.gram.b, kind="stable")[self.nearest :]] = 0
        return np.maximum(most, start)


def _reduced_costs(program: Program, weights: Vector) -> tuple[Vector, float]:
    """``(grad f)_i - lambda``, and lambda: the smallest gradient of an item that could take more weight."""
    _, slopes = program.gram.residual(weights)
    gradient = -2.0 * (slopes - program.ridge * weights)
    level = float(gradient[weights < program.upper - 1e-9].min(initial=np.inf))
    if not np.isfinite(level):
        level = float(gradient.max())
    return gradient - level, level


def _solve(
    program: Program,
    relaxed: Solution,
    budget: int,
    most: NDArray[np.int64],
    candidates: NDArray[np.int64],
    start: NDArray[np.int64],
    time_limit_s: float,
) -> tuple[NDArray[np.int64], str, float]:
    """Ask SCIP; counts over the pool, status and lower bound.

    The model is in weights times ``_SCALE``, its objective in f times ``_SCALE**2``.
    """
    try:
        import pyscipopt
    except ImportError as error:
        raise BrokenPluginError(_MISSING) from error
    costs, _ = _reduced_costs(program, relaxed.weights)
    level = float(costs @ relaxed.weights)  # zero without a cap
    block = program.gram.block(candidates)
    block[np.diag_indices(len(candidates))] += program.ridge
    values, vectors = np.linalg.eigh(block)
    kept = values > 1e-13 * values[-1]
    root = np.sqrt(values[kept])[:, None] * vectors[:, kept].T
    root *= _SCALE
    centre = root @ relaxed.weights[candidates]
    outside = np.setdiff1d(np.flatnonzero(relaxed.weights), candidates)
    if len(outside):  # the relaxation uses items that the restriction forbids: no shift, the plain objective
        costs, level, centre = -2.0 * program.gram.b, -program.gram.target_square, np.zeros(len(root))
    model = pyscipopt.Model()
    model.hideOutput()
    for name, value in _SETTINGS.items():
        model.setParam(name, value)
    model.setParam("limits/time", time_limit_s)
    model.setParam("limits/absgap", _PROVED * _SCALE**2)
    counts = [model.addVar(vtype="I", lb=0, ub=int(most[item])) for item in candidates]
    parts = [model.addVar(lb=None) for _ in root]
    square = model.addVar(lb=0.0)
    model.addCons(pyscipopt.quicksum(counts) == budget)
    for part, row, offset in zip(parts, root, centre, strict=True):
        model.addCons(part == pyscipopt.quicksum(_terms(row / budget, counts)) - offset)
    model.addCons(pyscipopt.quicksum(part * part for part in parts) <= square)
    model.setObjective(square + pyscipopt.quicksum(_terms(_SCALE**2 / budget * costs[candidates], counts)), "minimize")
    _suggest(model, counts, parts, square, start[candidates] / budget, root, centre, budget)
    model.optimize()
    found = start.copy()
    if model.getNSols():
        best = model.getBestSol()
        found[candidates] = [round(model.getSolVal(best, count)) for count in counts]
    constant = (relaxed.objective if not len(outside) else 0.0) - level
    status = _STATUS.get(model.getStatus(), model.getStatus())
    return found, status, constant + float(model.getDualbound()) / _SCALE**2


def _terms(coefficients: Vector, variables: list[Any]) -> list[Any]:
    return [float(coefficient) * variable for coefficient, variable in zip(coefficients, variables, strict=True)]


def _suggest(
    model: Any, counts: list[Any], parts: list[Any], square: Any, weights: Vector, root: Any, centre: Any, budget: int
) -> None:
    """Give SCIP the rounding to start from."""
    solution = model.createSol()
    offset = root @ weights - centre
    values = [*(budget * weights).round(), *offset, offset @ offset]
    for variable, value in zip([*counts, *parts, square], values, strict=True):
        model.setSolVal(solution, variable, float(value))
    model.addSol(solution)
