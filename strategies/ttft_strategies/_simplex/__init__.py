"""Solvers of ``min ||q - P^T w||^2 + ridge ||w||^2`` over the simplex or the capped simplex. Pure functions.

The feasible set is ``{w : 0 <= w_i <= upper, sum w = 1}``; ``upper = 1`` is the simplex. Each solver returns a
:class:`Solution` with its certificate: the Frank-Wolfe gap over that very set, so ``0 <= f(w) - f* <= gap``.

| solver | idea | convergence | use |
|---|---|---|---|
| :func:`frank_wolfe` | towards the best vertex | gap O(1/t) | early stopping by support, as published |
| :func:`away_steps` | towards the best or away from the worst vertex of the face | linear | a cheap, sparse optimum |
| :func:`pairwise_steps` | weight from the worst item to the best | linear | the same, with smaller steps |
| :func:`corrective` | exact on the active items, then one more item | finite | the exact optimum |
"""

from __future__ import annotations

from collections.abc import Callable

from ttft_strategies._simplex.corrective import corrective
from ttft_strategies._simplex.linear import away_steps, pairwise_steps
from ttft_strategies._simplex.program import Program, Solution, upper_bound
from ttft_strategies._simplex.vanilla import frank_wolfe

#: Every solver by the name it has in a spec. All take ``gram, *, max_iter, gap_tol, upper, ridge``.
SOLVERS: dict[str, Callable[..., Solution]] = {
    "vanilla": frank_wolfe,
    "away": away_steps,
    "pairwise": pairwise_steps,
    "corrective": corrective,
}

__all__ = [
    "SOLVERS",
    "Program",
    "Solution",
    "away_steps",
    "corrective",
    "frank_wolfe",
    "pairwise_steps",
    "upper_bound",
]
