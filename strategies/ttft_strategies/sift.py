"""SIFT: greedy reduction of the uncertainty about the prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies._gram import first_best


@dataclass(frozen=True, repr=False)
class SIFT(Selector):
    """Exact greedy SIFT: each pick lowers the posterior variance of the prompt most; repeats allowed.

    ``sigma^2_X(q) = <q, q> - k_X(q)^T (K_X + lam I)^-1 k_X(q)`` with the linear kernel (Hübotter et al., ICLR
    2025, arXiv 2410.08020, section 3). With C the posterior covariance, the next pick is
    ``argmax_i sum_t C[t, i]^2 / (C[i, i] + lam)`` over the query rows t, followed by
    ``C <- C - C[:, i] C[i, :] / (C[i, i] + lam)``. Picking an item c times is picking it once with noise
    ``lam / c``. Several query rows: the sum (trace) over them. Ties go to the lowest index.

    Only columns are kept, ``C[:, i] = G[:, i] - sum_s u_s u_s[i]`` with
    ``u_s = C[:, s] / sqrt(C[s, s] + lam)``: an incremental Cholesky factorisation. Cost: time O(N K (d + N)),
    memory O(K N) and no K x K matrix.

    Use it where relevance and diversity must be traded off against noise: a small ``lam`` spreads the picks
    (0.01 is the default of the authors' library), a large one repeats the best (0.2 in the HullFT paper).

    Args:
        lam: observation noise, above 0.
    """

    lam: float = 0.2

    nested: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0.0 < self.lam < float("inf"):
            raise ValueError(f"lam must be a finite number above 0, got {self.lam}")

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick N greedily; diagnostics hold the posterior variance left, averaged over the query rows."""
        rows = problem.pool.astype(np.float64)
        targets = problem.query.astype(np.float64)
        cross = targets @ rows.T  # C[t, i], shape (m, K)
        diagonal = np.einsum("kd,kd->k", rows, rows)  # C[i, i]
        factors = np.empty((problem.budget, problem.size))
        positions = np.empty(problem.budget, dtype=np.int64)
        variance = float(np.einsum("md,md->", targets, targets))
        for step in range(problem.budget):
            scores = np.einsum("mk,mk->k", cross, cross) / (diagonal + self.lam)
            pick = first_best(scores)
            earlier = factors[:step]
            column = rows @ rows[pick] - earlier[:, pick] @ earlier
            scale = np.sqrt(diagonal[pick] + self.lam)
            factors[step] = column / scale
            cross -= np.outer(cross[:, pick] / scale, factors[step])
            diagonal = np.maximum(diagonal - factors[step] ** 2, 0.0)  # rounding may not make it negative
            variance -= float(scores[pick])
            positions[step] = pick
        left = max(variance, 0.0) / len(targets)
        return Selection(positions, diagnostics={"posterior_variance": left})
