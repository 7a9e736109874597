"""Frank-Wolfe variants that converge linearly: away steps and pairwise steps, on the capped simplex too."""

from __future__ import annotations

import numpy as np

from ttft_strategies._gram import TIE_TOLERANCE, Gram, Vector, first_best
from ttft_strategies._simplex.program import Indices, Program, Slopes, Solution


def away_steps(
    gram: Gram, *, max_iter: int = 250, gap_tol: float = 1e-10, upper: float = 1.0, ridge: float = 0.0
) -> Solution:
    """Frank-Wolfe with away steps and exact line search (Guélat & Marcotte 1986; linear convergence:
    Lacoste-Julien & Jaggi 2015, arXiv 1511.05932).

    Of the direction to the best vertex, ``s - w``, and that away from the worst, ``w - v``, the steeper one is
    taken, away steps up to the border. On the simplex v is the worst item with weight. On the capped simplex
    it is the worst vertex of the smallest face that contains w (weights at a bound stay there: the in-face
    step of Freund, Grigas & Mazumder 2017, arXiv 1511.02204), so no list of vertices is kept.

    Cost: O(K) a step on the simplex, O(K / upper) on the capped one.

    Args:
        gram: pool of K rows and target.
        max_iter: largest number of steps.
        gap_tol: smallest Frank-Wolfe gap worth another step.
        upper: largest weight of one item.
        ridge: weight of ``||w||^2`` in the objective.
    """  # noqa: D205
    program = Program(gram, upper, ridge)
    slopes = Slopes(program)
    weights, along = _start(program, slopes)
    for step in range(max_iter + 1):
        level = float(weights @ along)
        items, values = _best_vertex(program, along)
        towards = float(values @ along[items]) - level
        if 2.0 * towards <= gap_tol:
            return program.solution(weights, "converged", step)
        if step == max_iter:
            break
        worst, worst_values = _worst_of_face(program, weights, along)
        away = level - float(worst_values @ along[worst])
        if towards >= away:
            direction = -weights
            direction[items] += values
            change = _image(slopes, items, values, along) - along
            descent, longest = towards, 1.0
        else:
            direction = weights.copy()
            direction[worst] -= worst_values
            change = along - _image(slopes, worst, worst_values, along)
            descent, longest = away, _longest(weights, direction, upper)
        curvature = -float(direction @ change)
        gamma = min(descent / curvature, longest) if curvature > 0.0 else longest
        weights += gamma * direction
        np.clip(weights, 0.0, upper, out=weights)
        if gamma == longest:
            _snap(weights, upper)
        along += gamma * change
    return program.solution(weights, "max_iter", max_iter)


def pairwise_steps(
    gram: Gram, *, max_iter: int = 250, gap_tol: float = 1e-10, upper: float = 1.0, ridge: float = 0.0
) -> Solution:
    """Pairwise Frank-Wolfe with exact line search (Lacoste-Julien & Jaggi 2015, arXiv 1511.05932).

    Weight moves from the worst item that has some to the best item that has room,
    ``gamma = min((r_i - r_j) / (H_ii + H_jj - 2 H_ij), w_j, upper - w_i)`` with r the slopes. Such moves are
    the edges of the simplex and of the capped simplex alike, so the same step serves both.

    Cost: O(K) a step.

    Args:
        gram: pool of K rows and target.
        max_iter: largest number of steps.
        gap_tol: smallest Frank-Wolfe gap worth another step.
        upper: largest weight of one item.
        ridge: weight of ``||w||^2`` in the objective.
    """
    program = Program(gram, upper, ridge)
    slopes = Slopes(program)
    weights, along = _start(program, slopes)
    for step in range(max_iter + 1):
        if program.gap(along, weights) <= gap_tol:
            return program.solution(weights, "converged", step)
        if step == max_iter:
            break
        # An exact line search leaves both ends of a move with one slope: ties are the rule here.
        to = nearest_best(np.where(weights < upper, along, -np.inf) if program.capped else along, gram.b)
        source = nearest_best(np.where(weights > 0.0, -along, -np.inf), gram.b)
        descent = float(along[to] - along[source])
        if descent <= 0.0:
            return program.solution(weights, "stalled", step)
        row_to, row_source = slopes.row(to, along, program.size), slopes.row(source, along, program.size)
        curvature = float(row_to[source] - row_to[to] + row_source[to] - row_source[source])
        room = min(float(weights[source]), upper - float(weights[to]))
        gamma = min(descent / curvature, room) if curvature > 0.0 else room
        weights[source] = 0.0 if gamma == weights[source] else weights[source] - gamma
        weights[to] = upper if program.capped and gamma == upper - weights[to] else weights[to] + gamma
        along += gamma * (row_to - row_source)
    return program.solution(weights, "max_iter", max_iter)


def nearest_best(scores: Vector, b: Vector) -> int:
    """Index of the largest score; among ties the item nearest to the target, then the lowest index."""
    tied = np.flatnonzero(scores >= scores.max() - TIE_TOLERANCE)
    return int(tied[first_best(b[tied])])


def _start(program: Program, slopes: Slopes) -> tuple[Vector, Vector]:
    """The vertex nearest to the target, and the slopes there."""
    items, values = program.vertex(program.gram.b)
    weights = np.zeros(program.size)
    weights[items] = values
    return weights, _image(slopes, items, values, program.gram.b)


def _image(slopes: Slopes, items: Indices, values: Vector, along: Vector) -> Vector:
    """The slopes at a vertex."""
    if len(items) == 1:
        return slopes.row(int(items[0]), along, slopes.program.size).copy()
    missing = items[slopes.slot[items] < 0]
    if len(missing):
        slopes.add(missing)
    return np.asarray(values @ slopes.stack[slopes.slot[items]])


def _best_vertex(program: Program, along: Vector) -> tuple[Indices, Vector]:
    """The vertex of largest ``<slopes, v>``."""
    if program.capped:
        return program.vertex(along)
    return np.array([nearest_best(along, program.gram.b)]), np.ones(1)


def _worst_of_face(program: Program, weights: Vector, along: Vector) -> tuple[Indices, Vector]:
    """The vertex of smallest ``<slopes, v>`` on the smallest face that contains the weights."""
    if not program.capped:
        return np.array([nearest_best(np.where(weights > 0.0, -along, -np.inf), program.gram.b)]), np.ones(1)
    fixed = np.flatnonzero(weights >= program.upper)
    free = np.flatnonzero((weights > 0.0) & (weights < program.upper))
    left = 1.0 - len(fixed) * program.upper
    free = free[np.argsort(along[free], kind="stable")]
    values = np.clip(left - program.upper * np.arange(len(free)), 0.0, program.upper)
    return np.concatenate([fixed, free]), np.concatenate([np.full(len(fixed), program.upper), values])


def _longest(weights: Vector, direction: Vector, upper: float) -> float:
    """Largest gamma that keeps ``weights + gamma * direction`` within the bounds."""
    down, up = direction < 0.0, direction > 0.0
    room = np.concatenate([weights[down] / -direction[down], (upper - weights[up]) / direction[up]])
    return float(room.min(initial=np.inf))


def _snap(weights: Vector, upper: float) -> None:
    """Put weights within rounding of a bound on it: a step to the border ends there."""
    weights[weights < 1e-15] = 0.0
    weights[weights > upper - 1e-15] = upper
