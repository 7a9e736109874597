"""Bootstrap intervals over groups of prompts, by ``scipy.stats.bootstrap``.

Prompts of one group (an article, a module) are not independent, so whole groups are drawn, with replacement. Every
statistic here is a function of sums over prompts, so a group is worth the vector of its sums::

    theta = combine( sum_g  c_g * S_g ),    c_g = how often group g was drawn

and a draw costs one product of counts with sums. Intervals are BCa (bias-corrected and accelerated; Efron 1987, "Better
bootstrap confidence intervals", JASA 82).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_bench.report.paired.outcomes import CONFIDENCE, MIN_GROUPS_FOR_INTERVAL, Interval, Outcome
from ttft_bench.seeds import derive_rng

N_RESAMPLES = 9999
#: Draws at a time: bounds the memory, changes nothing else.
_BATCH = 2000

Floats = NDArray[np.float64]
Combine = Callable[[Floats], Floats]


def interval(values: NDArray[Any], groups: Sequence[str], combine: Combine, confidence: float = CONFIDENCE) -> Interval:
    """The statistic of all prompts and its interval over groups.

    Args:
        values: shape (n, m), one row of summands per prompt, finite.
        groups: shape (n,), the group of each prompt.
        combine: maps sums, shape (..., m), to the statistic, shape (...); NaN where there is none.
        confidence: of the two-sided interval.

    Returns:
        An interval; its outcome says why a part is missing.
    """
    n = len(groups)
    if n == 0:
        return Interval(None, None, None, 0, 0, Outcome.NO_DATA, confidence)
    rows = np.asarray(values, dtype=np.float64).reshape(n, -1)
    names, owner = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    g = len(names)
    sums = np.zeros((g, rows.shape[1]))
    np.add.at(sums, owner, rows)
    with np.errstate(all="ignore"):
        value = float(combine(sums.sum(axis=0)))
    if not np.isfinite(value):
        return Interval(None, None, None, n, g, Outcome.NO_DATA, confidence)
    if g < MIN_GROUPS_FOR_INTERVAL:
        outcome = Outcome.ONE_PROMPT if n == 1 else Outcome.ONE_GROUP if g == 1 else Outcome.FEW_GROUPS
        return Interval(value, None, None, n, g, outcome, confidence)
    low, high, outcome = _bounds(sums, combine, value, confidence)
    return Interval(value, low, high, n, g, outcome, confidence)


def mean_interval(values: Sequence[float], groups: Sequence[str], confidence: float = CONFIDENCE) -> Interval:
    """The mean over prompts and its interval over groups."""
    column = np.asarray(values, dtype=np.float64)
    return interval(np.stack([column, np.ones_like(column)], axis=1), groups, ratio, confidence)


def ratio(sums: Floats) -> Floats:
    """First sum over second."""
    found: Floats = sums[..., 0] / sums[..., 1]
    return found


def _bounds(
    sums: Floats, combine: Combine, value: float, confidence: float
) -> tuple[float | None, float | None, Outcome]:
    from scipy.stats import bootstrap

    g = len(sums)

    def statistic(index: NDArray[np.int64], axis: int = -1) -> Floats:
        flat = np.moveaxis(index, axis, -1).reshape(-1, index.shape[axis])
        offsets = g * np.arange(len(flat))[:, None]
        counts = np.bincount((flat + offsets).ravel(), minlength=g * len(flat)).reshape(len(flat), g)
        return combine(counts @ sums).reshape(np.moveaxis(index, axis, -1).shape[:-1])

    # What scipy warns of is told by the outcome; numbers that do not exist are looked for below.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = bootstrap(
            (np.arange(g),),
            statistic,
            vectorized=True,
            confidence_level=confidence,
            n_resamples=N_RESAMPLES,
            batch=_BATCH,
            method="BCa",
            rng=derive_rng("bootstrap over groups"),
        )
    drawn = found.bootstrap_distribution
    if not np.isfinite(drawn).all():
        return None, None, Outcome.UNSTABLE
    if np.ptp(drawn) <= 1e-12 * max(1.0, abs(value)):
        return value, value, Outcome.ALL_EQUAL
    low, high = map(float, found.confidence_interval)
    if not (np.isfinite(low) and np.isfinite(high)):
        return None, None, Outcome.NO_INTERVAL
    return low, high, Outcome.OK


__all__ = ["N_RESAMPLES", "Combine", "Floats", "interval", "mean_interval", "ratio"]
