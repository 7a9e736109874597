"""Vanilla Frank-Wolfe with exact line search, stopped as HullFT does."""

from __future__ import annotations

import numpy as np

from ttft_strategies import _fast
from ttft_strategies._gram import TIE_TOLERANCE, Gram, Vector, first_best
from ttft_strategies._simplex.program import Program, Slopes, Solution

#: What the compiled loop says when it stops.
_STATUS = {1: "converged", 2: "support_limit", 3: "max_iter"}


def frank_wolfe(
    gram: Gram,
    *,
    support_limit: int | None = None,
    max_iter: int = 250,
    tol: float = 1e-5,
    gap_tol: float = 1e-10,
    upper: float = 1.0,
    ridge: float = 0.0,
) -> Solution:
    """Vanilla Frank-Wolfe with exact line search, stopped as HullFT does (arXiv 2605.30337).

    Start at the vertex of largest ``<b, v>``; step towards ``s = argmax_v <b - H w, v>`` with
    ``gamma = clip(<b - H w, s - w> / (s - w)^T H (s - w), 0, 1)``. Stop at ``||q - x|| < tol``, at a gap of at
    most ``gap_tol``, after ``max_iter`` steps, or once ``support_limit`` different items have been touched (or
    would be exceeded by the next vertex, which on the capped simplex has several).

    A step on the simplex costs O(K): one row of slopes is added. The published code does O(K d).

    Args:
        gram: pool of K rows and target.
        support_limit: number of different items that may be touched, at least 1; None for no limit.
        max_iter: largest number of steps.
        tol: smallest residual norm worth another step. A unit target is not in the hull of *other* unit
            vectors, so this fires only if the target is in the pool or inside the hull.
        gap_tol: smallest Frank-Wolfe gap worth another step.
        upper: largest weight of one item.
        ridge: weight of ``||w||^2`` in the objective.
    """
    program = Program(gram, upper, ridge)
    touchable = program.size + 1 if support_limit is None else support_limit
    if program.capped:
        weights, status, steps = _capped(program, touchable, max_iter, tol, gap_tol)
    else:
        run = _compiled if gram.rows.compiled else _plain
        weights, status, steps = run(program, touchable, max_iter, tol, gap_tol)
    return program.solution(weights, status, steps)


def _plain(program: Program, limit: int, max_iter: int, tol: float, gap_tol: float) -> tuple[Vector, str, int]:
    """The loop on the simplex in NumPy: three array operations a step.

    The slopes are kept as ``scale * z`` (and the weights alike), so that shrinking them by ``1 - gamma`` is
    one multiplication of scalars; only the new row is added to z.
    """
    gram, slopes = program.gram, Slopes(program)
    b, target_square, enough = gram.b, gram.target_square, tol * tol
    tied = set(np.flatnonzero(gram.tied).tolist())
    multiply, add = np.multiply, np.add
    start = first_best(b)
    row = slopes.row(start, b, limit)
    b_w = b.item(start)
    square_w = b_w - row.item(start)  # w^T H w
    z, scale, weights = row.copy(), 1.0, {start: 1.0}
    known, work = {start: (row, b_w, square_w)}, np.empty_like(z)
    full = limit <= 1
    for steps in range(max_iter + 1):
        item = int(z.argmax())
        if item in tied:
            item = first_best(z, TIE_TOLERANCE / scale)
        top = scale * z.item(item)  # <p, q - x>
        descent = top - b_w + square_w  # <q - x, s - x>: half the gap
        if target_square - 2.0 * b_w + square_w < enough or 2.0 * descent <= gap_tol:
            status = "converged"
            break
        if full or steps == max_iter:
            status = "support_limit" if full else "max_iter"
            break
        if item not in known:
            row = slopes.row(item, z, limit - len(weights))
            known[item] = row, b.item(item), b.item(item) - row.item(item)
            weights[item] = 0.0
            full = len(weights) >= limit
        row, b_s, h_ss = known[item]
        cross = b_s - top  # (H w)_s
        length = h_ss - 2.0 * cross + square_w  # (s - w)^T H (s - w)
        gamma = descent / length if 0.0 < descent < length else 1.0
        keep = 1.0 - gamma
        square_w = keep * keep * square_w + gamma * (2.0 * keep * cross + gamma * h_ss)
        b_w = keep * b_w + gamma * b_s
        scale *= keep
        if scale < 1e-200:  # gamma = 1, or a very long run
            z *= scale
            weights = {i: scale * w for i, w in weights.items()}
            scale = 1.0
        gain = gamma / scale
        add(z, multiply(row, gain, work), z)
        weights[item] += gain
    dense = np.zeros(program.size)
    dense[list(weights)] = np.array(list(weights.values())) * scale
    return dense, status, steps


def _compiled(program: Program, limit: int, max_iter: int, tol: float, gap_tol: float) -> tuple[Vector, str, int]:
    """The same loop compiled."""
    gram, weights = program.gram, np.zeros(program.size)
    settings = np.array([tol * tol, gap_tol, gram.target_square, TIE_TOLERANCE, program.ridge])
    code, steps = _fast.frank_wolfe(
        gram.rows.pool, gram.b, gram.tied, weights, first_best(gram.b), settings, limit, max_iter
    )
    return weights, _STATUS[code], steps


def _capped(program: Program, limit: int, max_iter: int, tol: float, gap_tol: float) -> tuple[Vector, str, int]:
    """The loop on the capped simplex, where a vertex is a mixture of 1 / upper items."""
    gram, slopes = program.gram, Slopes(program)
    items, values = program.vertex(gram.b)
    slopes.add(items)
    weights = np.zeros(program.size)
    weights[items] = values
    touched, steps = set(items.tolist()), 0
    along = values @ slopes.stack[slopes.slot[items]]
    while True:
        items, values = program.vertex(along)
        descent = float(values @ along[items] - weights @ along)
        residual_square = gram.target_square - float(weights @ (gram.b + along))
        if residual_square < tol * tol or 2.0 * descent <= gap_tol:
            return weights, "converged", steps
        if len(touched) >= limit or len(touched.union(items.tolist())) > limit:
            return weights, "support_limit", steps
        if steps >= max_iter:
            return weights, "max_iter", steps
        missing = items[slopes.slot[items] < 0]
        if len(missing):
            slopes.add(missing)
        change = values @ slopes.stack[slopes.slot[items]] - along  # -H (s - w)
        length = float(weights @ change - values @ change[items])
        gamma = min(descent / length, 1.0) if length > 0.0 else 1.0
        along += gamma * change
        weights *= 1.0 - gamma
        weights[items] += gamma * values
        touched.update(items.tolist())
        steps += 1
