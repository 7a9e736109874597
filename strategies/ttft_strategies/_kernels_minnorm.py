"""The min-norm point compiled by numba; :mod:`ttft_strategies._simplex.corrective` imports it lazily, if it can.

The steps are those of the NumPy loop there. What is added is thrift: the pool stays float32 and is read once a
round, and the Cholesky factor keeps the rows of the items that stay.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _dots(rows: Any, vector: Any, out: Any) -> None:
    """``rows @ vector``, entries widened one by one.

    Here and not shared: what numba keeps on disk is renewed when its own file changes, not another one's.
    """
    for i in range(len(rows)):
        row = rows[i]
        total = 0.0
        for j in range(len(vector)):
            total += row[j] * vector[j]
        out[i] = total


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _dot(left: Any, right: Any, size: int) -> float:
    total = 0.0
    for i in range(size):
        total += left[i] * right[i]
    return total


@numba.njit(cache=True, nogil=True)
def _best(slopes: Any, taken: Any, level: float, tie: float, items: Any, width: int) -> int:
    """The ``width`` items of largest slope above ``level``, best first, one of each tie; returns how many."""
    found = 0
    values = np.empty(width)
    for i in range(len(slopes)):
        value = slopes[i]
        if value <= level or taken[i] or (found == width and value <= values[found - 1]):
            continue
        place = found
        while place > 0 and values[place - 1] < value:
            place -= 1
        # Equal items have slopes within `tie`: the first of them, of lowest index, stands for all.
        if place > 0 and values[place - 1] - value <= tie:
            continue
        if place < found and value - values[place] <= tie:
            continue
        last = min(found, width - 1)
        for k in range(last, place, -1):
            values[k], items[k] = values[k - 1], items[k - 1]
        values[place], items[place] = value, i
        found = min(found + 1, width)
    return found


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _factor(gram: Any, factor: Any, start: int, size: int, dependent: float) -> int:
    """Rows ``start`` to ``size`` of the Cholesky factor; the first row that depends on those before, or -1."""
    for i in range(start, size):
        for j in range(i):
            total = gram[i, j]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            factor[i, j] = total / factor[j, j]
        pivot = gram[i, i]
        for k in range(i):
            pivot -= factor[i, k] * factor[i, k]
        if pivot <= dependent:
            return i
        factor[i, i] = np.sqrt(pivot)
    return -1


@numba.njit(cache=True, nogil=True)
def _back(factor: Any, size: int, solution: Any) -> None:
    """Solve ``L^T y = solution`` in place."""
    for i in range(size - 1, -1, -1):
        solution[i] /= factor[i, i]
        for k in range(i):
            solution[k] -= factor[i, k] * solution[i]


@numba.njit(cache=True, nogil=True)
def _drop(gone: int, size: int, items: Any, shares: Any, differences: Any, gram: Any) -> None:
    """Take item ``gone`` out of the first ``size``; the order of the others stays."""
    for i in range(gone, size - 1):
        items[i], shares[i] = items[i + 1], shares[i + 1]
        differences[i, :] = differences[i + 1, :]
        gram[i, :size] = gram[i + 1, :size]
    for i in range(size - 1):
        for j in range(gone, size - 1):
            gram[i, j] = gram[i, j + 1]


@numba.njit(cache=True, nogil=True)
def _admit(
    item: int, place: int, rows: Any, target: Any, ridge: float, items: Any, differences: Any, gram: Any
) -> None:
    """Put an item at ``place``, behind the free ones."""
    dimensions = len(target)
    items[place] = item
    for j in range(dimensions):
        differences[place, j] = rows[item, j] - target[j]
    for i in range(place + 1):
        gram[place, i] = gram[i, place] = _dot(differences[i], differences[place], dimensions) + 1.0
    gram[place, place] += ridge


@numba.njit(cache=True, nogil=True)
def _goal(factor: Any, free: int, goal: Any) -> bool:
    """Optimum over the free items with the bounds ignored; whether one is negative."""
    for i in range(free):
        goal[i] = (1.0 - _dot(factor[i], goal, i)) / factor[i, i]
    _back(factor, free, goal)
    total, negative = goal[:free].sum(), False
    for i in range(free):
        goal[i] /= total
        negative = negative or goal[i] < 0.0
    return negative


@numba.njit(cache=True, nogil=True)
def _step(goal: Any, shares: Any, free: int) -> None:
    """Go towards ``goal`` until the first weights are at zero."""
    step = 1.0
    for i in range(free):
        if goal[i] < 0.0:
            step = min(step, shares[i] / (shares[i] - goal[i]))
    for i in range(free):
        # The same quotient as above, so that whoever set the step meets zero despite rounding.
        meets = goal[i] < 0.0 and shares[i] / (shares[i] - goal[i]) <= step
        shares[i] = 0.0 if meets else max(shares[i] + step * (goal[i] - shares[i]), 0.0)


@numba.njit(cache=True, nogil=True)
def _along_dependence(lost: int, factor: Any, goal: Any, shares: Any) -> int:
    """Item ``lost`` is an affine combination of those before it: move along until one is at zero; which one."""
    goal[:lost] = factor[lost, :lost]
    _back(factor, lost, goal)
    step, leaving = shares[lost], lost
    for k in range(lost):
        if goal[k] < 0.0 and shares[k] < -goal[k] * step:
            step, leaving = shares[k] / -goal[k], k
    for k in range(lost):
        shares[k] = max(shares[k] + step * goal[k], 0.0)
    shares[lost] -= step
    return leaving


@numba.njit(cache=True, nogil=True)
def min_norm_point(
    rows: Any, target: Any, b: Any, ridge: float, settings: Any, max_iter: int, first: int, width: int, weights: Any
) -> tuple[int, int, float, float]:
    """Minimise ``||q - P^T w||^2 + ridge ||w||^2`` over the simplex.

    Args:
        rows: the pool, shape (K, d).
        target: q.
        b: ``P q``.
        ridge: at least 0.
        settings: gap that is small enough, tolerance of ties, squared pivot of a dependent item,
            progress that is rounding, rounds without progress after which to give up.
        max_iter: largest number of rounds.
        first: items free at the start.
        width: items freed at a time.
        weights: zeros, shape (K,); the answer is written here.

    Returns:
        A code (1 converged, 3 largest number of rounds, 4 stalled), the rounds, objective and gap.
    """
    gap_tol, tie, dependent, progress, patience = settings
    size, dimensions = rows.shape
    room = min(size, 48) + max(first, width)
    items, shares = np.empty(room, np.int64), np.zeros(room)
    differences, gram, factor = np.empty((room, dimensions)), np.empty((room, room)), np.empty((room, room))
    taken, slopes = np.zeros(size, np.bool_), np.empty(size)
    fresh, goal, residual = np.empty(max(first, width), np.int64), np.empty(room), np.empty(dimensions)
    best, best_items, best_slopes = np.zeros(0), np.empty(0, np.int64), b
    objective, gap, lowest = np.inf, np.inf, np.inf
    free, ready, rounds, code, bearable, careful = 0, 0, 0, 0, patience, False
    if ridge > 0.0:
        tie = -1.0  # a ridge gives each of equal items a share
    found = _best(b, taken, -np.inf, tie, fresh, first)
    while True:
        if free + found > room:
            room *= 2
            wider, grown = np.empty((room, dimensions)), np.empty((room, room))
            wider[:free], grown[:free, :free] = differences[:free], gram[:free, :free]
            more, longer = np.empty(room, np.int64), np.zeros(room)
            more[:free], longer[:free] = items[:free], shares[:free]
            differences, gram, items, shares = wider, grown, more, longer
            factor, goal, ready = np.empty((room, room)), np.empty(room), 0
        for k in range(found):
            _admit(fresh[k], free, rows, target, ridge, items, differences, gram)
            taken[fresh[k]], shares[free] = True, 1.0 if free == 0 else 0.0
            free += 1
        # Go to the optimum over the free items.
        while True:
            lost = _factor(gram, factor, ready, free, dependent)
            if lost >= 0:
                ready = min(lost, _along_dependence(lost, factor, goal, shares) if careful else lost)
                taken[items[ready]] = False
                _drop(ready, free, items, shares, differences, gram)
                free -= 1
                continue
            ready = free
            negative = _goal(factor, free, goal)
            if not negative:
                shares[:free] = goal[:free]
                break
            if careful:
                _step(goal, shares, free)
            for i in range(free - 1, -1, -1):
                if goal[i] < 0.0 and (shares[i] == 0.0 or not careful):
                    taken[items[i]] = False
                    _drop(i, free, items, shares, differences, gram)
                    free -= 1
                    ready = min(ready, i)
        # Price: what would a unit of weight on each item gain?
        residual[:] = 0.0
        for i in range(free):
            for j in range(dimensions):
                residual[j] -= shares[i] * differences[i, j]
        _dots(rows, residual, slopes)
        objective, level = _dot(residual, residual, dimensions), 0.0
        for i in range(free):
            slopes[items[i]] -= ridge * shares[i]
            objective += ridge * shares[i] * shares[i]
            level += shares[i] * slopes[items[i]]
        gap = max(2.0 * (slopes.max() - level), 0.0)
        if gap <= gap_tol:
            code = 1
            best, best_items = shares[:free], items[:free]
            break
        narrow = width
        if objective < lowest - progress:
            lowest, bearable, careful = objective, patience, False
            best, best_items, best_slopes = shares[:free].copy(), items[:free].copy(), slopes.copy()
        else:
            bearable, narrow = bearable - 1, 1
            if not careful:
                careful, level, ready = True, 0.0, 0
                for i in range(free):
                    taken[items[i]] = False
                free = len(best)
                for i in range(free):
                    _admit(best_items[i], i, rows, target, ridge, items, differences, gram)
                    taken[best_items[i]], shares[i] = True, best[i]
                    level += best[i] * best_slopes[best_items[i]]
                slopes[:] = best_slopes
        found = 0 if bearable < 0 else _best(slopes, taken, level, tie, fresh, narrow)
        if found == 0:
            code = 4
            break
        if rounds >= max_iter:
            code = 3
            break
        rounds += 1
    for i in range(len(best)):
        weights[best_items[i]] = best[i]
    return code, rounds, objective, gap
