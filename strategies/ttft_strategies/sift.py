"""SIFT: greedy reduction of the uncertainty about the prompt, exact, and stopping by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import ClassVar

import numpy as np

from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies._batch import select_sift
from ttft_strategies._posterior import Posterior, explained, pick_explained, pick_greedily


def check_noise(lam: float) -> None:
    """Refuse a noise that is no positive number, or so far from the items' variance of 1 that gains are all rounding.

    Raises:
        ValueError: it is.
    """
    if not 1e-6 <= lam <= 1e4:
        raise ValueError(f"lam must be a number between 1e-6 and 1e4, got {lam}")


@dataclass(frozen=True, repr=False)
class SIFT(Selector):
    """Exact greedy SIFT: each pick lowers the posterior variance of the prompt most; repeats allowed.

    ``sigma^2_X(q) = <q, q> - k_X(q)^T (K_X + lam I)^-1 k_X(q)`` with the linear kernel (Hübotter et al., ICLR
    2025, arXiv 2410.08020, section 3). With C the posterior covariance, the next pick is
    ``argmax_i sum_t C[t, i]^2 / (C[i, i] + lam)`` over the query rows t, followed by
    ``C <- C - C[:, i] C[i, :] / (C[i, i] + lam)``. Picking an item c times is picking it once with noise
    ``lam / c``. Several query rows: the sum (trace) over them. Ties go to the lowest index.

    Objective: the posterior variance of the prompt, greedily: a ridge reconstruction.

    Cost: time O(N d (K + N)), memory O(K + N d) beside the pool (O(N K) where the loop is compiled, with the
    extra ``fast``), no K x K matrix.

    Use it where relevance and diversity must be traded off against noise: a small ``lam`` spreads the picks
    (0.01 is the default of the authors' library), a large one repeats the best (0.2 in the HullFT paper).

    Args:
        lam: observation noise, above 0.
        repeats: whether an item may be picked again; if not, the budget is capped at the pool.
    """

    lam: float = 0.2
    repeats: bool = True  # type: ignore[misc]  # a parameter here, and what the instance declares

    nested: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_noise(self.lam)

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick N greedily; diagnostics hold the posterior variance left, averaged over the query rows."""
        posterior = Posterior(problem.pool, problem.query, self.lam, problem.budget)
        positions = pick_explained(posterior, problem.budget, repeats=self.repeats)
        return Selection(positions, diagnostics={"posterior_variance": posterior.variance})

    def select_many(
        self, problems: Sequence[Problem], rngs: Sequence[np.random.Generator], *, device: str | None = None
    ) -> list[Selection]:
        """Answer many prompts in batches.

        Args:
            problems: of any shapes.
            rngs: one for each; not drawn from.
            device: "numpy", or where torch works, e.g. "cuda": batches there. None: what is fastest without torch.

        Raises:
            UsageError: torch cannot use the device.
        """
        return select_sift(self, problems, rngs, device, self.lam, self.repeats)


@dataclass(frozen=True, repr=False)
class SIFTAdaptive(Selector):
    """SIFT that stops by itself, at the first n where ``sigma_n > 1 / (alpha n)``.

    The picks are those of ``sift`` (Hübotter et al., ICLR 2025, arXiv 2410.08020, section on adaptive
    compute). ``sigma_n`` is the posterior standard deviation of the prompt after n picks: where the pool says
    little about the prompt it stays high, and the prompt gets few steps. The n-th pick is kept. With several
    query rows ``sigma_n^2`` is their mean variance. The test is made after each pick, so what comes after the
    end is not computed.

    Objective: that of ``sift``.

    Cost: that of ``sift`` for the picks made. Use it to spend a budget over many prompts where it helps.

    Args:
        alpha: larger stops earlier, above 0. Stopping within N needs ``alpha > 1 / (N sigma_N)``.
        lam: observation noise, above 0.
    """

    alpha: float = 0.15
    lam: float = 0.2

    nested: ClassVar[bool] = True
    adaptive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_noise(self.lam)
        if not (isfinite(self.alpha) and self.alpha > 0.0):
            raise ValueError(f"alpha must be a finite number above 0, got {self.alpha}")

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick until it is enough; the status says which end came first."""
        posterior = Posterior(problem.pool, problem.query, self.lam, problem.budget)

        def enough(n: int) -> bool:
            return sqrt(posterior.variance) > 1.0 / (self.alpha * n)

        positions = pick_greedily(posterior, explained, problem.budget, stop=enough)
        return Selection(
            positions,
            status="stopped" if enough(len(positions)) else "budget",
            diagnostics={"posterior_variance": posterior.variance},
        )
