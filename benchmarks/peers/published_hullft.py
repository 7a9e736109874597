"""HullFT as published, in vectorised NumPy: the peer that ours is timed against.

The method of arXiv 2605.30337 as its authors' code runs it: Frank-Wolfe in the embedding space with d in the
inner loop, every candidate of a rounding step measured by its loss. Written from the description, in float64
and without a Python loop over candidates, so that it is no slower than the method makes it. Mended are only
the mistakes that change answers: counts below zero in the swap pass, N = 1 without renormalisation, and
atoms without weight in the support.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ttft_bench.selector import Problem

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def frank_wolfe(
    rows: Matrix, target: Vector, support_limit: int, max_iter: int = 250, tol: float = 1e-5
) -> tuple[Vector, int]:
    """Weights of shape (K,) and the number of steps taken.

    Stops at a residual below ``tol``, after ``max_iter`` steps, or with ``support_limit`` points touched.
    """
    weights = np.zeros(len(rows))
    start = int(np.argmax(rows @ target))
    weights[start] = 1.0
    x = rows[start].copy()
    touched = {start}
    for step in range(max_iter):
        residual = target - x
        if residual @ residual < tol * tol or len(touched) >= support_limit:
            return weights, step
        vertex = int(np.argmax(rows @ residual))
        direction = rows[vertex] - x
        length = direction @ direction
        if length <= 0.0:
            return weights, step
        gamma = min(max(residual @ direction / length, 0.0), 1.0)
        weights *= 1.0 - gamma
        weights[vertex] += gamma
        x += gamma * direction
        touched.add(vertex)
    return weights, max_iter


def integerize(atoms: Matrix, target: Vector, weights: Vector, budget: int) -> NDArray[np.int64]:
    """Counts of shape (m,): floor, then unit by unit, then swaps, each by the loss it leads to.

    A swap pass takes each item that had units when the pass began, and moves one of them to where the loss
    falls most; passes repeat until one changes nothing.
    """
    counts = np.floor(budget * weights + 1e-9).astype(np.int64)
    total = counts @ atoms
    for _ in range(budget - int(counts.sum())):
        best = int(np.argmin(_losses(target - (total + atoms) / budget)))
        counts[best] += 1
        total += atoms[best]
    difference = target - total / budget
    loss = float(difference @ difference)
    moved = True
    while moved:
        moved = False
        for source in np.flatnonzero(counts):
            if counts[source] == 0:  # an earlier move of this pass took its last unit
                continue
            losses = _losses(target - (total - atoms[source] + atoms) / budget)
            to = int(np.argmin(losses))
            if losses[to] < loss - 1e-12 and to != source:
                counts[source] -= 1
                counts[to] += 1
                total += atoms[to] - atoms[source]
                loss = float(losses[to])
                moved = True
    return counts


def _losses(differences: Matrix) -> Vector:
    """Squared norm of each row."""
    squares: Vector = np.einsum("md,md->m", differences, differences)
    return squares


def select(problem: Problem) -> NDArray[np.int64]:
    """Positions of shape (N,): by descending weight, repeats of one item consecutively."""
    rows = problem.pool.astype(np.float64)
    target = problem.target
    weights, _ = frank_wolfe(rows, target, problem.budget)
    support = np.flatnonzero(weights > 0.0)
    share = weights[support] / weights[support].sum()
    counts = integerize(rows[support], target, share, problem.budget)
    order = np.argsort(-share, kind="stable")
    return np.repeat(support[order], counts[order])
