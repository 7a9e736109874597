"""A general-purpose solver against ours, both to the same certified gap."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peerlib.pools import Vectors
from peerlib.record import Findings, Note, Row, Scale
from peerlib.timing import compiled, floor_us, has_accelerator, interleave, spread
from ttft_bench.selector import Problem
from ttft_strategies._gram import Gram
from ttft_strategies._simplex import corrective

GAP = 1e-9
TARGET = 50.0
#: Clarabel's defaults stop at 1e-8; these reach the gap after cleaning, which its answer needs.
_SETTINGS = {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}
_FLOORS = (0.0, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5)


def run(vectors: Vectors, scale: Scale, gb_s: float, found: Findings, note: Note, label: str) -> None:
    """One row for each pool size and road."""
    roads = ["NumPy", *(["numba"] if has_accelerator() else [])]
    for k, pools in ((200, scale.pools), (scale.large_k, scale.large_pools)):
        seconds: dict[str, list[float]] = {name: [] for name in (*roads, "peer", "solver")}
        worst = dict.fromkeys((*roads, "peer"), 0.0)
        for pool in range(pools):
            if pool % 10 == 0:
                note(f"quadratic program, {label}, K = {k}: pool {pool} of {pools}")
            problem = vectors.problem(pool, k, 50)
            for road in roads:
                calls: dict[str, Callable[[], Any]] = {
                    road: lambda problem=problem: (
                        corrective(Gram(problem.pool, problem.target), gap_tol=GAP, max_iter=4 * problem.size).weights
                    )
                }
                if road == roads[0]:
                    calls["peer"] = lambda problem=problem: _clarabel(problem)
                with compiled(road == "numba"):
                    calls[road]()
                    answers = interleave(calls, scale.repetitions, once=("peer",))
                for name in calls:
                    seconds[name].append(answers[name][0])
                worst[road] = max(worst[road], certify(problem, answers[road][1]))
                if "peer" in calls:
                    raw, solver_s = answers["peer"][1]
                    seconds["solver"].append(solver_s)
                    worst["peer"] = max(worst["peer"], min(certify(problem, weights) for weights in _cleaned(raw)))
        for road in roads:
            low, high = spread(np.array(seconds["peer"]) / np.array(seconds[road]))
            alone = float(np.median(seconds["solver"]) / np.median(seconds[road]))
            found.rows.append(
                Row(
                    against="cvxpy + Clarabel",
                    at=f"{label}, K = {k:,}",
                    ours="corrective",
                    road=road,
                    peer_us=float(np.median(seconds["peer"]) * 1e6),
                    ours_us=float(np.median(seconds[road]) * 1e6),
                    target=TARGET,
                    quality=f"largest gap {worst[road]:.1e}, theirs {worst['peer']:.1e}",
                    equal_or_better=worst[road] <= max(GAP, worst["peer"]),
                    pools=pools,
                    floor_us=floor_us(vectors.problem(0, k, 50), gb_s),
                    ratio_p20=low,
                    ratio_p80=high,
                    note=f"against Clarabel's own clock alone, without cvxpy's set-up: {alone:.0f}x",
                )
            )


def _clarabel(problem: Problem) -> tuple[NDArray[np.float64], float]:
    """Weights as the solver left them, and the seconds it says it took."""
    import cvxpy

    # Since weights sum to 1, q - P^T w = -(P - 1 q^T)^T w: differences keep the figures accurate near zero.
    differences = problem.pool.astype(np.float64) - problem.target
    weights = cvxpy.Variable(problem.size, nonneg=True)
    program = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(differences.T @ weights)), [cvxpy.sum(weights) == 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "inaccurate" is judged by the gap
        program.solve(solver="CLARABEL", **_SETTINGS)
    return np.asarray(weights.value, dtype=np.float64), float(program.solver_stats.solve_time or np.nan)


def _cleaned(raw: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The solver's weights on the simplex, without what an interior point leaves everywhere, at several floors."""
    kept: list[Any] = [np.where(raw > floor, raw, 0.0) for floor in _FLOORS]
    return [weights / weights.sum() for weights in kept if weights.any()]


def certify(problem: Problem, weights: NDArray[np.float64]) -> float:
    """Frank-Wolfe gap, from the residual itself."""
    rows = problem.pool.astype(np.float64)
    x = weights @ rows
    residual = problem.target - x
    return max(2.0 * float((rows @ residual).max() - residual @ x), 0.0)
