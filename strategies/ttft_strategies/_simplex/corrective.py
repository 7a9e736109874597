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

    Cost: O(K d) a round, plus O(m^3 + m d) for m free items.

    Args:
        gram: pool of K rows and target.
        max_iter: largest number of rounds.
        gap_tol: Frank-Wolfe gap that counts as optimal.
        upper: largest weight of one item.
        ridge: weight of ``||w||^2`` in the objective.
    """
    program = Program(gram, upper, ridge)
    if gram.rows.compiled and not program.capped:
        return _compiled(program, max_iter, gap_tol)
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
