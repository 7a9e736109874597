"""Fully corrective Frank-Wolfe: the exact optimum, one active item at a time."""

from __future__ import annotations

import numpy as np

from ttft_strategies._gram import Gram, Matrix, Vector
from ttft_strategies._simplex.program import Program, Slopes, Solution

#: A step that lowers f by less than this is rounding.
_PROGRESS = 1e-16
#: Steps without progress after which the solver gives up.
_PATIENCE = 3


def corrective(
    gram: Gram, *, max_iter: int = 250, gap_tol: float = 1e-10, upper: float = 1.0, ridge: float = 0.0
) -> Solution:
    """The exact optimum by an active-set method: Wolfe's min-norm point (1976), with bounds above and a ridge.

    On the free items A (strictly between the bounds) the optimum of the equality-constrained program solves
    ``(H_AA + 1 1^T) y = c + lambda 1`` with ``1^T y`` fixed; ``1 1^T`` changes nothing under that constraint and
    makes the matrix definite whenever the items are affinely independent, even if the target is reached or
    there are more items than dimensions. If the optimum leaves the bounds, go up to the border and fix the
    item that met it; else free the item whose slope promises most. Every round lowers f, so the method is
    finite: about as many rounds as the support is large.

    Cost: O(m^3 + K m) a round for m free items, plus one row of slopes for each item ever free.

    Args:
        gram: pool of K rows and target.
        max_iter: largest number of rounds (items freed).
        gap_tol: Frank-Wolfe gap that counts as optimal.
        upper: largest weight of one item.
        ridge: weight of ``||w||^2`` in the objective.
    """
    program = Program(gram, upper, ridge)
    state = _ActiveSet(program)
    best, lowest, patience, status = state.weights.copy(), np.inf, _PATIENCE, "max_iter"
    for step in range(max_iter + 1):
        state.minimise()
        along = state.along()
        objective = gram.target_square - float(state.weights @ (gram.b + along))
        if objective < lowest - _PROGRESS:
            best, lowest, patience = state.weights.copy(), objective, _PATIENCE
        else:
            patience -= 1
        if program.gap(along, state.weights) <= gap_tol:
            return program.solution(state.weights, "converged", step)
        if patience < 0 or not state.release(along):
            status = "stalled"
            break
        if step == max_iter:
            break
    return program.solution(best, status, step)


class _ActiveSet:
    """Weights, of which those in ``free`` move; the others sit at 0 or at the upper bound."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.slopes = Slopes(program)
        self.weights: Vector = np.zeros(program.size)
        items, values = program.vertex(program.gram.b)
        self.weights[items] = values
        # Of a vertex of the capped simplex only the item with what is left is free.
        self.free: list[int] = [int(item) for item, value in zip(items, values, strict=True) if value < program.upper]
        if not program.capped:
            self.free = [int(items[0])]
        self.full: list[int] = [int(item) for item in items if int(item) not in self.free]
        self._need(items, program.gram.b)

    def along(self) -> Vector:
        """The slopes at the weights, ``b - H w``."""
        items = np.array(self.free + self.full, dtype=np.int64)
        return np.asarray(self.weights[items] @ self.slopes.stack[self.slopes.slot[items]])

    def minimise(self) -> None:
        """Go to the optimum over the free items, fixing those that meet a bound on the way."""
        upper = self.program.upper
        while len(self.free) > 1:
            items = np.array(self.free)
            now = self.weights[items]
            goal = self._goal(items)
            if goal.min() >= 0.0 and goal.max() <= upper:
                self.weights[items] = goal
                return
            below, above = goal < 0.0, goal > upper
            room = np.full(len(items), np.inf)
            room[below] = now[below] / (now - goal)[below]
            room[above] = (upper - now)[above] / (goal - now)[above]
            gamma = min(float(room.min()), 1.0)
            moved = np.clip(now + gamma * (goal - now), 0.0, upper)
            met = room <= gamma
            moved[met & below] = 0.0
            moved[met & above] = upper
            self.weights[items] = moved
            self.full += items[met & above].tolist()
            self.free = items[~met].tolist()
        if self.free:  # one alone has no choice: it takes what the others leave
            (item,) = self.free
            self.weights[item] = 1.0 - upper * len(self.full)

    def _goal(self, items: np.ndarray) -> Vector:
        """Optimum over ``items`` with the others fixed and the bounds ignored."""
        b = self.program.gram.b[items]
        rows = self.slopes.stack[self.slopes.slot[items][:, None], items[None, :]]
        # H = b - D row by row; the rank-one term keeps it definite.
        system: Matrix = (b + 1.0)[None, :] - rows
        right = np.ones((len(items), 2))
        right[:, 0] = b
        left = 1.0
        if self.full:
            full = np.array(self.full)
            fixed = self.slopes.stack[self.slopes.slot[full][:, None], items[None, :]]
            right[:, 0] -= self.program.upper * (b[None, :] - fixed).sum(axis=0)
            left -= self.program.upper * len(full)
        try:
            solved = np.linalg.solve(system, right)
        except np.linalg.LinAlgError:  # affinely dependent items: the smallest of the solutions
            solved = np.linalg.lstsq(system, right, rcond=None)[0]
        total = solved.sum(axis=0)
        return np.asarray(solved[:, 0] + (left - total[0]) / total[1] * solved[:, 1])

    def release(self, along: Vector) -> bool:
        """Free the item that promises most; False if none promises anything."""
        promise = along.copy()
        promise[self.free + self.full] = -np.inf
        entering = int(promise.argmax())
        gain_up = promise.item(entering)
        leaving = min(self.full, key=lambda item: float(along[item])) if self.full else -1
        gain_down = -float(along[leaving]) if self.full else -np.inf
        if self.free:
            level = float(along[self.free].sum()) / len(self.free)
            gain_up, gain_down = gain_up - level, gain_down + level
            if max(gain_up, gain_down) <= 0.0:
                return False
            chosen = [entering] if gain_up >= gain_down else [leaving]
        elif gain_up + gain_down > 0.0:
            chosen = [entering, leaving]
        else:
            return False
        self.full = [item for item in self.full if item not in chosen]
        self.free += chosen
        self._need(np.array(chosen), along)
        return True

    def _need(self, items: np.ndarray, along: Vector) -> None:
        """Have the rows of these items."""
        for item in items:
            self.slopes.row(int(item), along, self.program.size)
