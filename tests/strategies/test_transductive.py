from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ttft_bench.selector import Problem, make_problem
from ttft_strategies.sift import SIFT
from ttft_strategies.transductive import CTL, ITL


def _problem(seed: int, queries: int, budget: int = 10) -> Problem:
    rng = np.random.default_rng(seed)
    query = rng.normal(size=(queries, 6))
    return make_problem(query, query.mean(axis=0) + rng.normal(size=(14, 6)), budget)


def _covariance(problem: Problem, picks: list[int], lam: float) -> NDArray[np.float64]:
    """Posterior covariance of pool and query rows, by its definition."""
    rows = np.vstack([problem.pool, problem.query]).astype(np.float64)
    seen = rows[picks]
    return np.asarray(
        rows @ rows.T - rows @ seen.T @ np.linalg.inv(seen @ seen.T + lam * np.eye(len(picks))) @ seen @ rows.T
    )


def _information(covariance: NDArray[np.float64], size: int, lam: float) -> NDArray[np.float64]:
    """Half the log ratio of variances before and after noisy observations of the targets."""
    cross, targets = covariance[:size, size:], covariance[size:, size:]
    variance = covariance.diagonal()[:size]
    told = np.einsum("im,mn,in->i", cross, np.linalg.inv(targets + lam * np.eye(len(targets))), cross)
    return np.asarray(0.5 * np.log(variance / (variance - told)))


def _correlation(covariance: NDArray[np.float64], size: int, lam: float) -> NDArray[np.float64]:
    deviation = np.sqrt(covariance.diagonal())
    return np.asarray((covariance / np.outer(deviation, deviation))[:size, size:].mean(axis=1))


@pytest.mark.parametrize("lam", [0.01, 0.2, 1.0])
@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize(("cls", "merit"), [(ITL, _information), (CTL, _correlation)])
def test_each_pick_is_the_best_by_definition(
    cls: type[ITL] | type[CTL], merit: object, queries: int, lam: float
) -> None:
    assert callable(merit)
    problem = _problem(queries, queries)
    picks = [int(pick) for pick in cls(lam=lam).select(problem, np.random.default_rng(0)).positions]
    for n in range(len(picks)):
        scores = merit(_covariance(problem, picks[:n], lam), problem.size, lam)
        assert scores[picks[n]] >= scores.max() - 1e-9


def test_correlation_has_a_sign_where_variance_has_none() -> None:
    problem = make_problem([1.0, 0.0], [[-1.0, 0.01], [0.9, 0.4]], 1)
    rng = np.random.default_rng(0)
    assert list(CTL().select(problem, rng).positions) == [1]
    assert list(SIFT().select(problem, rng).positions) == [0]
    assert list(ITL().select(problem, rng).positions) == [0]


def test_diagnostics_tell_the_variance_left() -> None:
    problem = _problem(5, 2)
    for cls in (ITL, CTL):
        answer = cls(lam=0.2).select(problem, np.random.default_rng(0))
        covariance = _covariance(problem, [int(pick) for pick in answer.positions], 0.2)
        left = covariance[problem.size :, problem.size :].trace() / 2
        assert answer.diagnostics["posterior_variance"] == pytest.approx(left, abs=1e-9)


@pytest.mark.parametrize("cls", [ITL, CTL])
def test_impossible_noise_is_refused(cls: type[ITL] | type[CTL]) -> None:
    with pytest.raises(ValueError, match="lam must be"):
        cls(lam=0.0)
