"""Vanilla Frank-Wolfe and greedy SIFT as Triton kernels: one program runs one prompt from start to end.

Importing this needs triton; :mod:`ttft_strategies._fused` does it lazily. A step of one prompt is a few
operations on K numbers, so what a batch on a GPU pays for, step by step, is launches. Here a launch serves all
steps: the state of a prompt stays in registers, and a step reads one row of its Gram matrix.

The steps are those of the NumPy loops; only inner products may be summed in another order. Everything is in
float64. Tolerances come in an array, since Triton hands over a Python float as float32.
"""

from __future__ import annotations

import triton
import triton.language as tl

#: Where a row of an answer holds what, before weights and positions. Also read by the other kernels.
OBJECTIVE, GAP, CODE, STEPS, SUPPORT, HEADER = 0, 1, 2, 3, 4, 5

_CODE, _STEPS, _SUPPORT, _HEADER = (tl.constexpr(n) for n in (CODE, STEPS, SUPPORT, HEADER))
_NOWHERE = tl.constexpr(2**30)


@triton.jit
def _first_best(scores: tl.tensor, lane: tl.tensor, tie: tl.tensor) -> tl.tensor:
    """The largest score, and the lowest lane within ``tie`` of it."""
    top = tl.max(scores, 0)
    return top, tl.min(tl.where(scores >= top - tie, lane, _NOWHERE), 0)


@triton.jit(do_not_specialize=["size", "limit", "max_iter", "width", "room"])
def frank_wolfe(
    gram: tl.tensor,
    b: tl.tensor,
    square: tl.tensor,
    settings: tl.tensor,
    out: tl.tensor,
    items: tl.tensor,
    size: tl.tensor,
    limit: tl.tensor,
    max_iter: tl.tensor,
    width: tl.tensor,
    room: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Frank-Wolfe on the simplex with exact line search; see :func:`ttft_strategies._simplex.frank_wolfe`.

    Args:
        gram: ``P P^T`` of each prompt, shape (B, K, K).
        b: ``P q``, shape (B, K).
        square: ``<q, q>``, shape (B,).
        settings: squared residual and gap that are small enough, tolerance of ties, weight that is rounding.
        out: shape (B, width); code, steps, size of the support and the weights are written.
        items: int32, shape (B, room); the support is written, ascending.
        size: K.
        limit: number of items that may be touched, at most ``room``.
        max_iter: largest number of steps.
        width: length of a row of ``out``.
        room: length of a row of ``items``.
        BLOCK: lanes, a power of two of at least K.
    """
    prompt = tl.program_id(0).to(tl.int64)
    gram += prompt * size * size
    b += prompt * size
    out += prompt * width
    items += prompt * room
    lane = tl.arange(0, BLOCK)
    real = lane < size
    nothing = float("-inf")
    enough = tl.load(settings)
    gap_tol = tl.load(settings + 1)
    tie = tl.load(settings + 2)
    target_square = tl.load(square + prompt)

    linear = tl.load(b + lane, mask=real, other=0.0)
    _, item = _first_best(tl.where(real, linear, nothing), lane, tie)
    z = linear - tl.load(gram + item * size + lane, mask=real, other=0.0)  # slopes: b - G w
    b_w = tl.load(b + item)
    square_w = tl.load(gram + item * size + item)  # w^T G w
    touched = (lane == item).to(tl.int32)
    weights = touched.to(tl.float64)
    n_touched = tl.sum(touched, 0)
    steps = n_touched - 1
    code = n_touched - 1
    while code == 0:
        top, item = _first_best(tl.where(real, z, nothing), lane, tie)
        row = linear - tl.load(gram + item * size + lane, mask=real, other=0.0)
        b_s = tl.load(b + item)
        g_ss = tl.load(gram + item * size + item)
        here = lane == item
        known = tl.max(tl.where(here, touched, 0), 0)
        descent = top - b_w + square_w  # half the gap
        converged = (target_square - 2.0 * b_w + square_w < enough) | (2.0 * descent <= gap_tol)
        code = tl.where(n_touched >= limit, 2, tl.where(steps >= max_iter, 3, 0))
        code = tl.where(converged, 1, code)
        if code == 0:
            cross = b_s - top  # (G w)_s
            length = g_ss - 2.0 * cross + square_w  # ||s - x||^2
            whole = (descent <= 0.0) | (descent >= length)
            gamma = tl.where(whole, 1.0, descent / tl.where(whole, 1.0, length))
            keep = 1.0 - gamma
            square_w = keep * keep * square_w + gamma * (2.0 * keep * cross + gamma * g_ss)
            b_w = keep * b_w + gamma * b_s
            z = keep * z + gamma * row
            weights = keep * weights + tl.where(here, gamma, 0.0)
            touched = tl.where(here, 1, touched)
            n_touched += 1 - known
            steps += 1
    weights = weights / tl.sum(weights, 0)
    supports = (weights > tl.load(settings + 3)) & real
    slot = tl.cumsum(supports.to(tl.int32), 0) - 1
    tl.store(items + slot, lane, mask=supports)
    tl.store(out + _HEADER + lane, weights, mask=real)
    tl.store(out + _CODE, code.to(tl.float64))
    tl.store(out + _STEPS, steps.to(tl.float64))
    tl.store(out + _SUPPORT, tl.sum(supports.to(tl.int32), 0).to(tl.float64))


@triton.jit(do_not_specialize=["size", "many", "budget"])
def sift(
    gram: tl.tensor,
    cross: tl.tensor,
    square: tl.tensor,
    settings: tl.tensor,
    out: tl.tensor,
    factors: tl.tensor,
    size: tl.tensor,
    many: tl.tensor,
    budget: tl.tensor,
    REPEATS: tl.constexpr,
    TARGETS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
) -> None:
    """Exact greedy SIFT; see :func:`ttft_strategies._batch.sift_many`.

    Args:
        gram: ``P P^T`` of each prompt, shape (B, K, K).
        cross: ``Q P^T``, shape (B, m, K).
        square: trace of ``Q Q^T``, shape (B,).
        settings: noise, tolerance of ties.
        out: shape (B, 1 + N); the variance left and the picks are written.
        factors: room for ``u_s = C[:, s] / sqrt(C[s, s] + noise)``, shape (B, N, K).
        size: K.
        many: m.
        budget: N.
        REPEATS: whether an item may be picked again.
        TARGETS: a power of two of at least m.
        BLOCK: lanes, a power of two of at least K.
        ROWS: how many factors are read at a time.
    """
    prompt = tl.program_id(0).to(tl.int64)
    gram += prompt * size * size
    cross += prompt * many * size
    out += prompt * (1 + budget)
    factors += prompt * budget * size
    lane = tl.arange(0, BLOCK)
    real = lane < size
    target = tl.arange(0, TARGETS)
    noise = tl.load(settings)
    tie = tl.load(settings + 1)
    both = (target < many)[:, None] & real[None, :]
    of_targets = tl.load(cross + target[:, None] * size + lane[None, :], mask=both, other=0.0)
    diagonal = tl.load(gram + lane * size + lane, mask=real, other=0.0)
    variance = tl.load(square + prompt)
    free = real
    for step in range(budget):
        scores = tl.sum(of_targets * of_targets, 0) / (diagonal + noise)
        top, pick = _first_best(tl.where(free, scores, float("-inf")), lane, tie)
        variance -= top
        tl.store(out + 1 + step, pick.to(tl.float64))
        here = lane == pick
        if not REPEATS:
            free = free & (lane != pick)
        column = tl.load(gram + pick * size + lane, mask=real, other=0.0)
        for first in range(0, step, ROWS):
            earlier = first + tl.arange(0, ROWS)
            made = earlier < step
            place = factors + earlier * size
            share = tl.load(place + pick, mask=made, other=0.0)
            part = tl.load(place[:, None] + lane[None, :], mask=made[:, None] & real[None, :], other=0.0)
            column -= tl.sum(share[:, None] * part, 0)
        scale = tl.sqrt(tl.sum(tl.where(here, diagonal, 0.0), 0) + noise)
        column = column / scale
        tl.store(factors + step * size + lane, column, mask=real)
        tl.debug_barrier()  # other threads of this program read it in the next step
        taken = tl.sum(tl.where(here[None, :], of_targets, 0.0), 1) / scale
        of_targets -= taken[:, None] * column[None, :]
        diagonal = tl.maximum(diagonal - column * column, 0.0)  # rounding may not make it negative
    tl.store(out, variance)
