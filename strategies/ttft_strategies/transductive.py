"""Two relatives of SIFT: what an item tells about the prompt, by information and by correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies._gram import Vector
from ttft_strategies._posterior import Posterior, pick_greedily
from ttft_strategies.sift import check_noise

#: Variances below this are rounding; nothing can be learned from such an item.
_SMALLEST = 1e-12


@dataclass(frozen=True, repr=False)
class ITL(Selector):
    """Information-based transductive learning: the item that says most about all query rows together.

    ``argmax_i 1/2 log(C[i, i] / C[i, i | A])`` with ``C[i, i | A] = C[i, i] - C[i, A] (C[A, A] + lam I)^-1
    C[A, i]`` over the query rows A, C the posterior covariance given the picks with noise ``lam`` (Hübotter et
    al., NeurIPS 2024, Transductive Active Learning). This is the rule as ``activeft`` 0.1.1 computes it: the
    candidate's own noise is left out of the ratio. Where ``sift`` weighs all query rows alike, this weighs
    the most uncertain directions among them more; with one query row it picks by squared correlation.
    Repeats allowed.

    Objective: the determinant of the query rows' posterior covariance, greedily.

    Cost: that of ``sift`` plus O(K m^2 + m^3) per pick for m query rows. Use it for prompts of several parts.

    Args:
        lam: observation noise, above 0.
    """

    lam: float = 0.2

    nested: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_noise(self.lam)

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick N greedily."""
        posterior = Posterior(problem.pool, problem.query, self.lam, problem.budget)
        positions = pick_greedily(posterior, information, problem.budget)
        return Selection(positions, diagnostics={"posterior_variance": posterior.variance})


@dataclass(frozen=True, repr=False)
class CTL(Selector):
    """Correlation-based transductive learning: the item that correlates most with the query rows.

    ``argmax_i mean_t C[t, i] / sqrt(C[i, i] C[t, t])`` over the query rows t, C the posterior covariance given
    the picks with noise ``lam`` (as ``activeft`` 0.1.1 computes it). At first this is cosine similarity; after
    each pick, similarity of what is not explained yet. The correlation has a sign: an item that points away
    is not picked, unlike in ``sift``. Repeats allowed.

    Objective: none, a greedy rule.

    Cost: that of ``sift``. Use it as a diverse version of ``knn``.

    Args:
        lam: observation noise, above 0.
    """

    lam: float = 0.2

    nested: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_noise(self.lam)

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick N greedily."""
        posterior = Posterior(problem.pool, problem.query, self.lam, problem.budget)
        positions = pick_greedily(posterior, correlation, problem.budget)
        return Selection(positions, diagnostics={"posterior_variance": posterior.variance})


def information(posterior: Posterior) -> Vector:
    """Mutual information of each item and the noisy targets, in nats, shape (K,)."""
    noisy = posterior.target_covariance + posterior.noise * np.eye(len(posterior.targets))
    whitened = np.linalg.solve(np.linalg.cholesky(noisy), posterior.cross)
    explained = np.einsum("mk,mk->k", whitened, whitened)
    share = np.where(posterior.diagonal > _SMALLEST, explained / np.maximum(posterior.diagonal, _SMALLEST), 0.0)
    return np.asarray(-0.5 * np.log1p(-np.minimum(share, 1.0 - _SMALLEST)))


def correlation(posterior: Posterior) -> Vector:
    """Mean correlation of each item with the targets, shape (K,)."""
    of_targets = np.sqrt(np.maximum(posterior.target_covariance.diagonal(), _SMALLEST))
    of_pool = np.sqrt(np.maximum(posterior.diagonal, _SMALLEST))
    return np.asarray((posterior.cross / of_targets[:, None]).mean(axis=0) / of_pool)
