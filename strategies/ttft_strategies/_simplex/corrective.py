"""Fully corrective Frank-Wolfe: the exact optimum, a few active items at a time."""

from __future__ import annotations

import numpy as np

from ttft_strategies import _fast
from ttft_strategies._gram import TIE_TOLERANCE, Gram
from ttft_strategies._simplex.active import DEPENDENT, ActiveSet
from ttft_strategies._simplex.program import Program, Solution

#: Items freed at first, and at a time later on. One product with the pool prices all items, so several are better
#: than one; of more, most would leave again.
_FIRST, _WIDTH = 8, 12
#: A round that lowers f by less than this is rounding.
_PROGRESS = 1e-16
#: Rounds without progress after which the solver gives up.
_PATIENCE = 3
#: Entries of the pool that are polished.
_POLISHED_ENTRIES = 2**18
#: What the compiled loop says when it stops.
_STATUS = {1: "converged", 3: "max_iter", 4: "stalled"}


def corrective(
    gram: Gram, *, max_iter: int = 250, gap_tol: float = 1e-10, upper: float = 1.0, ridge: float = 0.0
) -> Solution:
    """The exact optimum by an active-set method: Wolfe's min-norm point (1976), with bounds above and a ridge.

    Since weights sum to 1, ``q - P^T w = -A^T w`` for the differences ``a_i = p_i - q``: the optimum is the point of
    their hull nearest to the origin. Find the optimum over the free items alone; price all items by one product
    ``P (q - x)``, which is the certificate too; free those whose slopes promise most, several at a time. About four
    rounds for a support of twenty.

    Among the free items those that the optimum wants outside the bounds go at once, as in block pivoting. A round
    that does not lower f is taken back and repeated carefully, with one item and Wolfe's steps to the border,
    which always lower f: so the method is finite. On the capped simplex every round is careful.

    Cost: O(K d) a round, plus O(m^3 + m d) for m free items. Where items are so nearly dependent that no round makes
    progress, non-negative least squares finishes what is left; ``stalled`` if even that does not reach the gap.

    Args:
        gram: pool of K rows and target.
        max_iter: largest number of rounds.
        gap_tol: Frank-Wolfe gap that counts as optimal.
        upper: largest weight of one item.
        ridge: weight of ``||w||^2`` in the objective.
    """
    program = Program(gram, upper, ridge)
    compiled = gram.rows.compiled and not program.capped
    solution = (_compiled if compiled else _plain)(program, max_iter, gap_tol)
    return _polished(program, solution, gap_tol) if solution.status == "stalled" else solution


def _plain(program: Program, max_iter: int, gap_tol: float) -> Solution:
    """The loop in NumPy."""
    gram = program.gram
    state = ActiveSet(program, _FIRST)
    careful = program.capped
    best, best_slopes, lowest, patience = state.saved(), gram.b, np.inf, _PATIENCE
    for step in range(max_iter + 1):
        state.minimise(careful)
        objective, slopes = state.price()
        gap = program.gap(slopes, weights := state.weights())
        if gap <= gap_tol:
            return Solution(weights, objective, max(gap, 0.0), "converged", step)
        width = _WIDTH
        if objective < lowest - _PROGRESS:
            best, best_slopes, lowest, patience = state.saved(), slopes, objective, _PATIENCE
            careful = program.capped
        else:
            # Several items at once may stand in each other's way: one at a time always makes progress.
            width, patience = 1, patience - 1
            if not careful:
                state.restore(best)
                slopes, careful = best_slopes, True
        if patience < 0 or not state.release(slopes, width):
            state.restore(best)
            return program.solution(state.weights(), "stalled", step)
    state.restore(best)
    return program.solution(state.weights(), "max_iter", max_iter)


def _polished(program: Program, solution: Solution, gap_tol: float) -> Solution:
    """The optimum by non-negative least squares on the differences themselves, where Gram products are too coarse.

    Items that are nearly dependent, such as a pool that spans few dimensions but for the rounding of its float32
    entries, have a Gram matrix with the square of their condition number. Lawson and Hanson's method (scipy's) works on
    ``||A^T u||^2 + (1 - 1^T u)^2`` as it stands; its minimiser over ``u >= 0`` is a multiple of the optimal weights.
    """
    from scipy.optimize import nnls

    if program.capped or program.ridge:
        return solution
    gram = program.gram
    items = np.arange(program.size)
    if program.size * len(gram.target) > _POLISHED_ENTRIES:
        promise = gram.residual(solution.weights)[1] + (solution.weights > 0.0)  # the support first
        items = np.sort(np.argsort(-promise, kind="stable")[: max(_POLISHED_ENTRIES // len(gram.target), 1)])
    system = np.concatenate([(gram.rows.take(items) - gram.target).T, np.ones((1, len(items)))])
    right = np.zeros(len(system))
    right[-1] = 1.0
    try:
        found, _ = nnls(system, right, maxiter=20 * len(items))
    except RuntimeError:  # it gave up
        return solution
    weights = np.zeros(program.size)
    weights[items] = found / found.sum()
    objective, gap = program.certify(weights)
    if gap >= solution.gap:
        return solution
    status = "converged" if gap <= gap_tol else solution.status
    return Solution(weights, objective, gap, status, solution.iterations)


def _compiled(program: Program, max_iter: int, gap_tol: float) -> Solution:
    """The same loop compiled, on the simplex."""
    gram, weights = program.gram, np.zeros(program.size)
    settings = (gap_tol, TIE_TOLERANCE, DEPENDENT, _PROGRESS, _PATIENCE)
    code, rounds, objective, gap = _fast.min_norm_point(
        gram.rows.pool, gram.target, gram.b, program.ridge, settings, max_iter, _FIRST, _WIDTH, weights
    )
    if code != 1:  # the best weights are not the last ones, which the figures are of
        return program.solution(weights, _STATUS[code], rounds)
    return Solution(weights, objective, gap, _STATUS[code], rounds)
