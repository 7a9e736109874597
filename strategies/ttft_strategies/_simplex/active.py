"""The active set of :func:`~ttft_strategies._simplex.corrective`: which weights move, and where to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ttft_strategies._gram import TIE_TOLERANCE, Matrix, Vector
from ttft_strategies._simplex.program import Indices, Program

#: Squared pivot of an item that depends on those before it; the diagonal is at least 1.
DEPENDENT = 4e-16
_SMALLEST_PIVOT = DEPENDENT**0.5
#: Slots at first; most optima have fewer items.
_ROOM = 64

#: Free slots, their weights, and the slots at the upper bound.
State = tuple[NDArray[np.int64], Vector, NDArray[np.int64]]


class ActiveSet:
    """Items that were ever free, each in a *slot*, and the weights of those that are.

    On the free slots F (between the bounds) the optimum of the equality-constrained program is
    ``M w = lambda 1 - A_F c`` with differences ``a_i = p_i - q``, ``M = A_F A_F^T + ridge I + 1 1^T``, and c what
    the items at the upper bound contribute. ``1 1^T`` changes nothing under the constraint and makes M definite
    whenever the items are affinely independent, even if the target is reached or there are more items than
    dimensions.

    Args:
        program: what to solve.
        first: items that are free at the start, on the simplex.
    """

    def __init__(self, program: Program, first: int) -> None:
        from scipy.linalg.lapack import dposv  # here, so that listing strategies need not import scipy

        self.program = program
        self._dposv = dposv
        gram = program.gram
        self._slots = np.full(program.size, -1, dtype=np.int64)
        self._count, room = 0, min(program.size, _ROOM)
        self._items: Indices = np.empty(room, dtype=np.int64)
        self._differences: Matrix = np.empty((room, len(gram.target)))
        self._system: Matrix = np.empty((room, room))
        self._full = np.empty(0, dtype=np.int64)
        if not program.capped:
            self._free = self._slots_of(self._promising(gram.b, -np.inf, first))
            self._shares: Vector = np.zeros(len(self._free))
            self._shares[0] = 1.0
            return
        items, values = program.vertex(gram.b)
        slots, whole = self._slots_of(items), values >= program.upper
        # Of a vertex of the capped simplex only the item with what is left is free.
        self._full, self._free, self._shares = slots[whole], slots[~whole], values[~whole]

    def saved(self) -> State:
        """The state, to come back to."""
        return self._free, self._shares, self._full

    def restore(self, state: State) -> None:
        """Come back to a saved state."""
        self._free, self._shares, self._full = state

    def weights(self) -> Vector:
        """Weights of all items, shape (K,)."""
        weights = np.zeros(self.program.size)
        weights[self._items[self._free]] = self._shares
        if len(self._full):
            weights[self._items[self._full]] = self.program.upper
        return weights

    def price(self) -> tuple[float, Vector]:
        """Objective and slopes ``P (q - x) - ridge w`` at the weights. O(K d)."""
        shares = np.zeros(self._count)
        shares[self._free] = self._shares
        if len(self._full):
            shares[self._full] = self.program.upper
        residual = np.negative(shares @ self._differences[: self._count])
        slopes = self.program.gram.rows.dot(residual)
        objective = float(residual @ residual)
        if self.program.ridge:
            slopes[self._items[: self._count]] -= self.program.ridge * shares
            objective += self.program.ridge * float(shares @ shares)
        return objective, slopes

    def minimise(self, careful: bool) -> None:
        """Go to the optimum over the free items; those that it wants outside the bounds become fixed there.

        Args:
            careful: go from the weights as they are to the border, so that f falls, and fix what met it. Else
                forget the weights, and drop all that came out negative at once (on the simplex only).
        """
        while len(self._free):
            goal = self._goal(careful)
            if goal is None:
                continue
            if not careful:
                if goal.min() >= 0.0:
                    self._shares = goal
                    return
                self._free = self._free[goal >= 0.0]
            elif self._step(goal):
                return

    def release(self, slopes: Vector, width: int) -> bool:
        """Free the items, ``width`` at most on each side, that promise most; False if none promises anything."""
        free = self._items[self._free]
        level = float(slopes[free].sum()) / len(free) if len(free) else -np.inf
        scores = slopes.copy()
        scores[free] = -np.inf
        if len(self._full):
            return self._release_both(slopes, scores, level, width)
        entering = self._slots_of(self._promising(scores, level, width))
        self._free = np.concatenate([self._free, entering])
        self._shares = np.concatenate([self._shares, np.zeros(len(entering))])
        return len(entering) > 0

    def _release_both(self, slopes: Vector, scores: Vector, level: float, width: int) -> bool:
        """Free items at zero and items at the upper bound."""
        full = self._items[self._full]
        scores[full] = -np.inf
        entering = self._promising(scores, level, width)
        order = np.argsort(slopes[full], kind="stable")
        if len(self._free):
            leaving = order[slopes[full[order]] < level][:width]
            if width == 1 and len(entering) and len(leaving):  # even two may stand in each other's way
                rises = slopes[entering[0]] - level >= level - slopes[full[leaving[0]]]
                entering, leaving = (entering, leaving[:0]) if rises else (entering[:0], leaving)
        elif len(entering) and slopes[entering[0]] > slopes[full[order[0]]]:
            entering, leaving = entering[:1], order[:1]  # nobody else is free to take what one gives
        else:
            return False
        self._free = np.concatenate([self._free, self._slots_of(entering), self._full[leaving]])
        bounds = np.zeros(len(entering)), np.full(len(leaving), self.program.upper)
        self._shares = np.concatenate([self._shares, *bounds])
        self._full = np.delete(self._full, leaving)
        return len(entering) + len(leaving) > 0

    def _promising(self, scores: Vector, level: float, width: int) -> Indices:
        """Items of largest score above ``level``, best first; of tied ones only that of lowest index.

        Equal items depend on each other, so one stands for all, unless a ridge gives each of them a share.
        """
        width = min(width, len(scores))
        items = scores.argpartition(len(scores) - width)[len(scores) - width :]
        items = items[(-scores[items]).argsort()]
        values = scores[items]
        chosen = values > level
        if self.program.ridge:
            return items[chosen]
        chosen[1:] &= values[:-1] > values[1:] + TIE_TOLERANCE
        if self.program.gram.has_ties:
            return np.asarray((np.abs(scores - values[chosen][:, None]) <= TIE_TOLERANCE).argmax(axis=1))
        return items[chosen]

    def _slots_of(self, items: Indices) -> NDArray[np.int64]:
        """Slots of items, made for those that have none."""
        slots = self._slots[items]
        if len(fresh := items[slots < 0]):
            old, gram = self._count, self.program.gram
            count = self._count = old + len(fresh)
            if count > len(self._items):
                self._grow(max(2 * len(self._items), count), old)
            self._items[old:count] = fresh
            rows = np.subtract(gram.rows.take(fresh), gram.target, out=self._differences[old:count])
            corner = self._differences[:count] @ rows.T
            corner += 1.0
            if self.program.ridge:
                corner[np.arange(old, count), np.arange(count - old)] += self.program.ridge
            self._system[:count, old:count] = corner
            self._system[old:count, :old] = corner[:old].T
            self._slots[fresh] = np.arange(old, count)
            slots = self._slots[items]
        return slots

    def _grow(self, room: int, used: int) -> None:
        """Make room for more slots, of which the first ``used`` are filled."""
        items, differences, system = self._items, self._differences, self._system
        self._items = np.empty(room, dtype=np.int64)
        self._differences, self._system = np.empty((room, differences.shape[1])), np.empty((room, room))
        self._items[:used], self._differences[:used] = items[:used], differences[:used]
        self._system[:used, :used] = system[:used, :used]

    def _goal(self, careful: bool) -> Vector | None:
        """Optimum over the free items with the others fixed and the bounds ignored; None if one item had to go."""
        free, full = self._free, self._full
        right = np.ones((len(free), 2 if len(full) else 1), order="F")
        if len(full):  # A_F c, without what 1 1^T adds
            right[:, 1] = self.program.upper * (self._system[free[:, None], full].sum(axis=1) - len(full))
        factor, solved, failed = self._dposv(
            self._system[free[:, None], free].T, right, overwrite_a=True, overwrite_b=True
        )
        pivots = factor.diagonal()
        if failed or pivots.min() <= _SMALLEST_PIVOT:
            place = failed - 1 if failed else int(pivots.argmin())
            if careful:
                self._move_along_dependence(place)
            else:
                self._free = np.delete(free, place)
            return None
        direction = solved[:, 0]
        direction /= direction.sum()
        if not len(full):
            return np.asarray(direction)
        left = 1.0 - self.program.upper * len(full)
        return np.asarray((left + solved[:, 1].sum()) * direction - solved[:, 1])

    def _step(self, goal: Vector) -> bool:
        """Go towards ``goal`` as far as the bounds allow, and fix what met one; True if it was reached."""
        now, upper = self._shares, self.program.upper
        below, above = goal < 0.0, goal > upper
        leaving = below | above
        if not leaving.any():
            self._shares = goal
            return True
        room = np.where(below, now, upper - now)[leaving] / np.abs(goal - now)[leaving]
        gamma = min(float(room.min()), 1.0)
        self._shares = (now + gamma * (goal - now)).clip(0.0, upper)
        met = np.flatnonzero(leaving)[room <= gamma]
        self._fix(met, met[above[met]])
        return False

    def _move_along_dependence(self, place: int) -> None:
        """Item ``place`` is an affine combination of those before it: move along until one is at a bound; fix it."""
        system = self._system[self._free[: place + 1, None], self._free[: place + 1]]
        direction = np.zeros(len(self._free))
        direction[:place] = np.linalg.lstsq(system[:place, :place], system[:place, place], rcond=None)[0]
        direction[place] = -1.0
        shrinking, growing = direction < 0.0, direction > 0.0
        room = np.full(len(direction), np.inf)
        room[shrinking] = self._shares[shrinking] / -direction[shrinking]
        room[growing] = (self.program.upper - self._shares[growing]) / direction[growing]
        met = int(room.argmin())
        self._shares = (self._shares + room[met] * direction).clip(0.0, self.program.upper)
        place_met = np.array([met])
        self._fix(place_met, place_met if growing[met] and self.program.capped else place_met[:0])

    def _fix(self, places: NDArray[np.int64], above: NDArray[np.int64]) -> None:
        """Take free items, given by their places, out of the free ones: ``above`` to the upper bound, others to 0."""
        self._full = np.concatenate([self._full, self._free[above]])
        keep = np.ones(len(self._free), dtype=np.bool_)
        keep[places] = False
        self._free, self._shares = self._free[keep], self._shares[keep]
