"""Orthogonal matching pursuit: span the prompt with few items."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies._gram import first_best
from ttft_strategies._rows import Rows

#: A residual or a new direction shorter than this is rounding.
_SMALLEST = 1e-9


class OMP(Selector):
    """Orthogonal matching pursuit: the item most aligned with what the span of the picks cannot express.

    ``argmax_i |<r, p_i>|`` with ``r = q - (projection of q on the span of the picks)`` (Pati, Rezaiifar & Krishnaprasad
    1993; Tropp 2004), q the mean of the query rows. Coefficients are free in sign, so an item that points away
    can be picked: reconstruction by the *span*, where ``hullft`` uses the hull and ``sift`` a ridge. Each item
    once; when nothing is left of q, or no item has a part in the residual, the nearest items not yet picked
    follow. Ties go to the lowest index.

    Objective: the part of q outside the span of the picks, greedily.

    Cost: O(N d (K + N)). Use it to see what free coefficients would reconstruct: the equal weights of training
    steps do not follow them.
    """

    nested: ClassVar[bool] = True
    repeats: ClassVar[bool] = False

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick N greedily; diagnostics hold the squared norm of what is left of q."""
        rows = Rows(problem.pool)
        residual = problem.target.copy()
        nearness = rows.dot(residual)
        steps = min(problem.budget, problem.size)
        basis = np.empty((min(steps, len(residual)), len(residual)))
        rank = 0
        positions = np.empty(steps, dtype=np.int64)
        for step in range(steps):
            scores = np.abs(rows.dot(residual))
            scores[positions[:step]] = -np.inf
            if scores.max() <= _SMALLEST:  # what is left of q is orthogonal to what is left of the pool
                scores = nearness.copy()
                scores[positions[:step]] = -np.inf
            pick = first_best(scores)
            positions[step] = pick
            if rank == len(basis):
                continue
            direction = rows[pick].copy()
            for _ in range(2):  # a second pass removes the rounding of the first
                direction -= (basis[:rank] @ direction) @ basis[:rank]
            length = float(np.linalg.norm(direction))
            if length > _SMALLEST:
                basis[rank] = direction / length
                residual -= (basis[rank] @ residual) * basis[rank]
                rank += 1
        return Selection(positions, diagnostics={"span_residual": max(float(residual @ residual), 0.0)})
