"""Vanilla Frank-Wolfe for many prompts at once, and HullFT made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies._arrays import Arrays, arrays_on
from ttft_strategies._batch import gram_matrices, select_together
from ttft_strategies._batch_round import round_many
from ttft_strategies._fused import hullft_fused, run_fused
from ttft_strategies._gram import support_of
from ttft_strategies._integerize import training_order
from ttft_strategies._stops import STATUS, Stops, certificates


def select_hullft(
    selector: Selector,
    problems: Sequence[Problem],
    rngs: Sequence[np.random.Generator],
    device: str | None,
    *,
    max_iter: int,
    tol: float,
    gap_tol: float,
) -> list[Selection]:
    """``HullFT.select_many`` for its vanilla solver and ``geometry`` rounding: in batches if a device is named.

    Left to itself it takes the prompts one by one: a step of one prompt is three operations on K entries, and
    touches some dozens of Gram rows where a batch makes all K, which on a processor costs what it saves.
    """
    arrays = arrays_on(device)

    def answer(batch: Sequence[Problem]) -> list[Selection]:
        stops = Stops(batch[0].budget, max_iter, tol, gap_tol)
        fused = run_fused(arrays, lambda there: hullft_fused(batch, there, stops))
        return fused if fused is not None else hullft_many(batch, arrays, max_iter=max_iter, tol=tol, gap_tol=gap_tol)

    return select_together(selector, problems, rngs, arrays, answer, lambda _: device is not None)


def hullft_many(
    problems: Sequence[Problem], arrays: Arrays, *, max_iter: int, tol: float, gap_tol: float
) -> list[Selection]:
    """HullFT with its vanilla solver and ``geometry`` rounding, for problems of equal shape and budget."""
    budget, size = problems[0].budget, problems[0].size
    rows = arrays.stack([problem.pool for problem in problems])
    targets = arrays.stack([problem.target for problem in problems])
    b = (rows @ targets[:, :, None])[:, :, 0]
    slopes = gram_matrices(rows)
    arrays.module.subtract(b[:, None, :], slopes, out=slopes)  # D[s] = b - G[s]: the slopes with all weight on s
    stops = Stops(budget, max_iter, tol, gap_tol)
    weights, codes, steps = _frank_wolfe(arrays, slopes, b, (targets * targets).sum(axis=1), stops, size)
    objective, gap = map(arrays.get, certificates(arrays.module, rows, targets, arrays.put(weights)))
    supports = [support_of(own) for own in weights]
    counts = round_many(arrays, slopes, b, weights, supports, budget)
    answers, along_query = [], arrays.get(b)
    for index, support in enumerate(supports):
        order = training_order(weights[index, support], along_query[index, support])
        answers.append(
            Selection(
                positions=np.repeat(support[order], counts[index, : len(support)][order]),
                weights=weights[index],
                objective=float(objective[index]),
                gap=float(gap[index]),
                status=STATUS[codes[index]],
                diagnostics={"iterations": float(steps[index]), "support": float(len(support))},
            )
        )
    return answers


def _frank_wolfe(
    arrays: Arrays, slopes: Any, b: Any, square: Any, stops: Stops, size: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Weights (B, K), status codes (B,) and numbers of steps (B,).

    The slopes at the weights, ``z = b - G w``, shrink by ``1 - gamma`` and gain ``gamma D[s]``: O(K) a step and
    prompt. Steps are written down, and become weights at the end.
    """
    module, count = arrays.module, len(b)
    best = arrays.first_best if arrays.has_ties(b) else lambda scores: scores.argmax(axis=1)
    live = np.arange(count)
    owner = each = arrays.count(count)
    vertex = best(b)
    start = arrays.get(vertex).copy()
    z = slopes[each, vertex] + 0.0
    b_w = b[each, vertex]
    square_w = b_w - z[each, vertex]  # w^T G w
    touched = z > module.inf
    touched[each, vertex] = True
    n_touched, n_steps = touched.sum(axis=1), touched.sum(axis=1) - 1
    codes, steps = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    trail = _Trail(arrays, start, size)
    for step in range(stops.max_iter + 1):
        vertex = best(z)
        top = z[each, vertex]
        descent = top - (b_w - square_w)  # half the gap
        converged = (square - 2.0 * b_w + square_w < stops.tol * stops.tol) | (2.0 * descent <= stops.gap_tol)
        limited = n_touched >= stops.support_limit
        going = ~(converged | limited)
        last = step == stops.max_iter
        if last or step % arrays.patience == 0:
            stays = arrays.get(going)
            if last or stays.sum() <= 0.75 * len(stays):
                ended = np.where(arrays.get(converged), 1, np.where(arrays.get(limited), 2, 3 if last else 0))
                codes[live], steps[live] = ended, arrays.get(n_steps)
                if last or not stays.any():
                    break
                trail.flush(live)
                live, keep = live[stays], arrays.put(np.flatnonzero(stays))
                owner, each = owner[keep], arrays.count(len(live))
                z, b_w, square_w, touched = z[keep], b_w[keep], square_w[keep], touched[keep]
                square, n_touched, n_steps = square[keep], n_touched[keep], n_steps[keep]
                vertex, top, descent, going = vertex[keep], top[keep], descent[keep], going[keep]
        row = slopes[owner, vertex]
        b_s = b[owner, vertex]
        g_ss = b_s - row[each, vertex]
        cross = b_s - top  # (G w)_s
        length = g_ss - 2.0 * cross + square_w  # ||s - x||^2
        positive = length > 0.0
        gamma = (descent / module.where(positive, length, 1.0)).clip(max=1.0)
        gamma = module.where(positive, gamma, 1.0) * going  # finished prompts stand still
        keeping = 1.0 - gamma
        square_w = keeping * keeping * square_w + gamma * (2.0 * keeping * cross + gamma * g_ss)
        b_w = keeping * b_w + gamma * b_s
        row *= gamma[:, None]
        z *= keeping[:, None]
        z += row
        known = touched[each, vertex]
        touched[each, vertex] = known | going
        n_touched = n_touched + (going & ~known)
        n_steps = n_steps + going
        trail.add(vertex, gamma)
    trail.flush(live)
    return trail.weights(), codes, steps


class _Trail:
    """The steps of all prompts, kept where they were made until there is reason to fetch them.

    Args:
        arrays: where they are made.
        start: first item of each prompt, shape (B,).
        size: K.
    """

    def __init__(self, arrays: Arrays, start: NDArray[np.int64], size: int) -> None:
        self.arrays, self.start, self.size = arrays, start, size
        self._vertices: list[Any] = []
        self._gammas: list[Any] = []
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []

    def add(self, vertices: Any, gammas: Any) -> None:
        """Write down one step of every prompt that is live."""
        self._vertices.append(vertices)
        self._gammas.append(gammas)

    def flush(self, live: NDArray[np.int64]) -> None:
        """Fetch what was written down since the last time, when the prompts ``live`` were live."""
        if self._vertices:
            stack = self.arrays.module.stack
            vertices, gammas = stack(self._vertices), stack(self._gammas)
            self._parts.append((live, self.arrays.get(vertices), self.arrays.get(gammas)))
            self._vertices, self._gammas = [], []

    def weights(self) -> NDArray[np.float64]:
        """Step t leaves ``gamma_t prod_(s > t) (1 - gamma_s)`` on its vertex; shape (B, K), rows sum to 1."""
        count = len(self.start)
        weights, later = np.zeros((count, self.size)), np.ones(count)
        for live, vertices, gammas in reversed(self._parts):
            kept = np.ones((len(gammas) + 1, len(live)))
            kept[:-1] = np.cumprod((1.0 - gammas)[::-1], axis=0)[::-1]
            kept *= later[live]
            np.add.at(weights, (np.broadcast_to(live, vertices.shape), vertices), gammas * kept[1:])
            later[live] = kept[0]
        weights[np.arange(count), self.start] += later
        totals: NDArray[np.float64] = weights.sum(axis=1, keepdims=True)
        return weights / totals
