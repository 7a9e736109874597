"""The program all solvers share: objective, feasible set, certificate, and what they need of the Gram matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ttft_bench.errors import UsageError
from ttft_strategies._gram import Gram, Matrix, Vector, first_best

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Solution:
    """Where a solver stopped, and how good that is.

    Attributes:
        weights: shape (K,), convex, at most ``upper``.
        objective: f at ``weights``, the ridge term included.
        gap: Frank-Wolfe gap at ``weights`` over the feasible set: ``0 <= f(weights) - f* <= gap``.
        status: "converged", "support_limit", "max_iter" or "stalled" (rounding allows no more progress).
        iterations: number of steps taken.
    """

    weights: Vector
    objective: float
    gap: float
    status: str
    iterations: int


def upper_bound(size: int, budget: int, cap: int) -> float:
    """Largest weight of an item that may take ``cap`` of ``budget`` steps; a cap of 0 is none.

    Raises:
        UsageError: ``size`` items cannot fill the budget under the cap.
    """
    if cap <= 0 or cap >= budget:
        return 1.0
    if size * cap < budget:
        raise UsageError(
            f"cap={cap} allows {size} items at most {size * cap} steps, fewer than the budget of {budget}: "
            f"raise the cap to at least {-(-budget // size)} or give a larger pool"
        )
    return cap / budget


@dataclass(frozen=True)
class Program:
    """``min f(w) = ||q - P^T w||^2 + ridge ||w||^2`` subject to ``0 <= w_i <= upper``, ``sum w = 1``.

    With ``H = G + ridge I`` this is ``f(w) = <q, q> - 2 b^T w + w^T H w``, and ``b - H w = -grad f(w) / 2``
    are the *slopes*: what a unit of weight on each item would gain.
    """

    gram: Gram
    upper: float = 1.0
    ridge: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.ridge < float("inf"):
            raise ValueError(f"ridge must be a finite number of at least 0, got {self.ridge}")
        if self.upper * self.size < 1.0 - 1e-12:
            raise UsageError(
                f"no weights of at most {self.upper:.6g} on {self.size} items sum to 1: "
                f"the bound must be at least {1.0 / self.size:.6g}"
            )

    @property
    def size(self) -> int:
        """Number of items K."""
        return len(self.gram.b)

    @property
    def capped(self) -> bool:
        """Whether the upper bound cuts into the simplex."""
        return self.upper < 1.0

    @cached_property
    def _whole(self) -> tuple[int, float]:
        """A vertex of the capped simplex: how many weights are at the bound, and what is left for one more."""
        count = int(np.floor(1.0 / self.upper + 1e-9))
        left = 1.0 - count * self.upper
        return count, left if left > 1e-12 else 0.0

    def vertex(self, slopes: Vector) -> tuple[Indices, Vector]:
        """The linear minimisation oracle: the vertex of largest ``<slopes, v>``, as indices and weights.

        One item on the simplex. On the capped simplex the 1 / upper best items, each at the bound (the last
        one with what is left): O(K + k log k).
        """
        if not self.capped:
            return np.array([first_best(slopes)]), np.ones(1)
        count, left = self._whole
        best = ranked(slopes, count + (left > 0.0))
        values = np.full(len(best), self.upper)
        if left:
            values[-1] = left
        return best, values

    def gap(self, slopes: Vector, weights: Vector) -> float:
        """``max_s <grad f(w), w - s>``, from the slopes at w."""
        if not self.capped:
            return 2.0 * float(slopes.max() - slopes @ weights)
        indices, values = self.vertex(slopes)
        return 2.0 * float(values @ slopes[indices] - slopes @ weights)

    def certify(self, weights: Vector) -> tuple[float, float]:
        """Objective and gap at feasible weights, from the residual itself. O(K d)."""
        residual, slopes = self.gram.residual(weights)
        if self.ridge:
            slopes = slopes - self.ridge * weights
        objective = float(residual @ residual) + self.ridge * float(weights @ weights)
        return objective, max(self.gap(slopes, weights), 0.0)

    def solution(self, weights: Vector, status: str, iterations: int) -> Solution:
        """Certify weights that are feasible up to rounding."""
        total = weights.sum()
        if not self.capped:
            weights = weights / total
        return Solution(weights, *self.certify(weights), status, iterations)


def ranked(slopes: Vector, count: int) -> Indices:
    """The ``count`` items of largest slope, best first; equal ones by lowest index."""
    if 4 * count < len(slopes):
        worst = np.partition(slopes, -count)[-count]
        best = np.flatnonzero(slopes >= worst)
        return best[np.argsort(-slopes[best], kind="stable")[:count]]
    return np.argsort(-slopes, kind="stable")[:count]


class Slopes:
    """Rows ``D_s = b - H[s, :]``: the slopes with all weight on s. The slopes at w are ``sum_s w_s D_s``.

    Rows are made when a solver asks for one. A pool too large to be kept in float64 has to be widened for
    each pass over it, so there the rows of the items that look best at that moment are made along with it.

    Attributes:
        stack: shape (slots, K): rows in the order in which they came.
        slot: shape (K,): row of each item in ``stack``, -1 for none.
        filled: number of rows.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.batch = 1 if program.gram.rows.one_by_one else 8
        self.filled = 0
        self.slot = np.full(program.size, -1, dtype=np.int64)
        self.stack: Matrix = np.empty((min(32, program.size), program.size))

    def row(self, item: int, slopes: Vector, most: int) -> Vector:
        """The row of an item; ``most`` more rows at the utmost are of use to the solver, this one included."""
        if self.slot[item] < 0:
            if self.batch == 1:
                return self._add_one(item)
            wanted = min(self.batch, most, self.program.size - self.filled)
            chosen = np.array([item])
            if wanted > 1:
                promise = np.where(self.slot < 0, slopes, -np.inf)
                promise[item] = np.inf
                chosen = np.argpartition(-promise, wanted - 1)[:wanted]
            self.add(chosen)
        row: Vector = self.stack[self.slot[item]]
        return row

    def add(self, items: Indices) -> None:
        """Make the rows of ``items``, none of which is there yet."""
        program, first = self.program, self.filled
        last = first + len(items)
        self._grow(last)
        np.subtract(program.gram.b, program.gram.rows.products(items), out=self.stack[first:last])
        self.slot[items] = np.arange(first, last)
        self.stack[np.arange(first, last), items] -= program.ridge
        self.filled = last

    def _add_one(self, item: int) -> Vector:
        """Make one row."""
        gram, slot = self.program.gram, self.filled
        self._grow(slot + 1)
        row: Vector = self.stack[slot]
        np.subtract(gram.b, gram.rows.dot(gram.rows[item]), out=row)
        row[item] -= self.program.ridge
        self.slot[item] = slot
        self.filled = slot + 1
        return row

    def _grow(self, slots: int) -> None:
        if slots > len(self.stack):
            grown = np.empty((min(max(2 * len(self.stack), slots), self.program.size), self.program.size))
            grown[: self.filled] = self.stack[: self.filled]
            self.stack = grown
