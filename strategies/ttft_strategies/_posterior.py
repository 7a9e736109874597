"""Posterior covariance of a Bayesian linear model, given noisy observations of pool rows.

With ``f(x) = <theta, x>``, ``theta ~ N(0, I)`` and observations ``y(x) = f(x) + N(0, noise)``, the covariance of
f is the linear kernel at first, and observing item s changes it to
``C <- C - C[:, s] C[s, :] / (C[s, s] + noise)``. Every greedy method built on this (SIFT, ITL, CTL, the greedy
determinant) needs only the diagonal of C over the pool and its rows for the targets.

No K x K matrix and no K x N one either: ``C = P M P^T`` with ``M = I - sum_s v_s v_s^T`` and
``v_s = M p_s / sqrt(C[s, s] + noise)`` at the time of pick s, so N directions of d entries are all that is kept.
An observation costs O(K d + N d), memory is O(K m + N d) for m targets.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_strategies import _fast
from ttft_strategies._gram import TIE_TOLERANCE, Matrix, Vector, first_best
from ttft_strategies._rows import Rows


class Posterior:
    """Diagonal and target rows of the posterior covariance, one observation after another.

    Args:
        pool: shape (K, d).
        targets: shape (m, d); m may be 0.
        noise: variance of the observation noise, above 0.
        capacity: how many observations there will be at most.

    Attributes:
        noisy: ``C[i, i] + noise`` over the pool, shape (K,).
        cross: ``C[t, i]`` for target t and pool item i, shape (m, K).
    """

    def __init__(self, pool: NDArray[Any], targets: NDArray[Any], noise: float, capacity: int) -> None:
        self.rows = Rows(pool)
        self.targets: Matrix = np.asarray(targets, dtype=np.float64)
        self.noise = noise
        self.noisy = self.rows.squares() + noise
        self.cross: Matrix = np.empty((len(targets), len(pool)))
        for target, out in zip(self.targets, self.cross, strict=True):
            out[:] = self.rows.dot(target)
        self._directions = np.empty((capacity, pool.shape[1]))
        self._of_targets = np.empty((capacity, len(targets)))
        self._observed = 0

    def observe(self, index: int, *, last: bool = False) -> None:
        """Condition on one more noisy observation of item ``index``; ``last`` skips what only picks need."""
        row = self.rows[index]
        earlier = self._directions[: self._observed]
        direction = self._directions[self._observed]
        np.subtract(row, np.dot(np.dot(earlier, row), earlier), out=direction)
        scale = 1.0 / sqrt(self.noisy[index])
        direction *= scale
        of_targets = np.multiply(self.cross[:, index], scale, out=self._of_targets[self._observed])
        self._observed += 1
        if last:
            return
        of_pool = self.rows.dot(direction)
        if len(of_targets) == 1:
            self.cross -= of_targets * of_pool
        else:
            self.cross -= np.multiply.outer(of_targets, of_pool)
        of_pool *= of_pool
        self.noisy -= of_pool
        np.maximum(self.noisy, self.noise, out=self.noisy)  # rounding may not make a variance negative

    @property
    def diagonal(self) -> Vector:
        """``C[i, i]`` over the pool, shape (K,)."""
        return self.noisy - self.noise

    @property
    def target_covariance(self) -> Matrix:
        """``C`` over the targets, shape (m, m)."""
        gained = self._of_targets[: self._observed]
        return np.asarray(self.targets @ self.targets.T - gained.T @ gained)

    def observe_explained(self, budget: int, *, repeats: bool) -> NDArray[np.int64]:
        """Pick by :func:`explained` and observe, all in one compiled loop; the pool figures are spent after it."""
        taken = self._of_targets[:budget]
        picks = _fast.pick_explained(self.rows.pool, self.cross, self.noisy, self.noise, TIE_TOLERANCE, repeats, taken)
        self._observed = budget
        return picks

    @property
    def variance(self) -> float:
        """Posterior variance left, averaged over the targets."""
        return max(float(self.target_covariance.trace()), 0.0) / len(self.targets)


def explained(posterior: Posterior) -> Vector:
    """``sum_t C[t, i]^2 / (C[i, i] + noise)``: how much variance of the targets item i would take away, (K,)."""
    cross = posterior.cross
    squares: Vector = cross[0] * cross[0] if len(cross) == 1 else np.einsum("mk,mk->k", cross, cross)
    squares /= posterior.noisy
    return squares


def pick_explained(posterior: Posterior, budget: int, *, repeats: bool = True) -> NDArray[np.int64]:
    """The greedy picks by :func:`explained`, compiled where that is possible; see :func:`pick_greedily`."""
    if not posterior.rows.compiled:
        return pick_greedily(posterior, explained, budget, repeats=repeats)
    return posterior.observe_explained(budget if repeats else min(budget, len(posterior.rows)), repeats=repeats)


def pick_greedily(
    posterior: Posterior,
    gains: Callable[[Posterior], Vector],
    budget: int,
    *,
    repeats: bool = True,
    stop: Callable[[int], bool] | None = None,
) -> NDArray[np.int64]:
    """Observe the item of the largest gain, again and again; ties go to the lowest index.

    Args:
        posterior: is changed; holds the state after the last pick, but for its pool figures.
        gains: figure of merit of every item, shape (K,).
        budget: number of picks; at most the pool without repeats.
        repeats: whether an item may be picked again.
        stop: asked after each pick with the number of picks; True ends the picking.

    Returns:
        Pool positions in order of picking.
    """
    steps = budget if repeats else min(budget, len(posterior.rows))
    positions = np.empty(steps, dtype=np.int64)
    for step in range(steps):
        scores = gains(posterior)
        if not repeats:
            scores[positions[:step]] = -np.inf
        pick = first_best(scores)
        positions[step] = pick
        posterior.observe(pick, last=step == steps - 1)
        if stop is not None and stop(step + 1):
            return positions[: step + 1]
    return positions
