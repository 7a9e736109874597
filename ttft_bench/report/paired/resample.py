"""Bootstrap intervals over groups of prompts, by ``scipy.stats.bootstrap``.

Prompts of one group (an article, a module) are not independent, so whole groups are drawn, with replacement. Every
statistic here is a function of sums over prompts, so a group is worth the vector of its sums::

    theta = combine( sum_g  c_g * S_g ),    c_g = how often group g was drawn

and a draw costs one product of counts with sums. Counts depend on the number of groups alone (every interval starts
from the same seed), so scipy draws them once for all intervals over as many groups. Intervals are BCa (bias-corrected
and accelerated; Efron 1987, "Better bootstrap confidence intervals", JASA 82).
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
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
    if combine is ratio:
        low, high, outcome = _bounds_of_ratio(sums.tobytes(), g, confidence, N_RESAMPLES)
    else:
        low, high, outcome = _bounds(sums, combine, value, confidence, N_RESAMPLES)
    return Interval(value, low, high, n, g, outcome, confidence)


def mean_interval(values: Sequence[float], groups: Sequence[str], confidence: float = CONFIDENCE) -> Interval:
    """The mean over prompts and its interval over groups."""
    column = np.asarray(values, dtype=np.float64)
    return interval(np.stack([column, np.ones_like(column)], axis=1), groups, ratio, confidence)


def ratio(sums: Floats) -> Floats:
    """First sum over second."""
    found: Floats = sums[..., 0] / sums[..., 1]
    return found


Bounds = tuple[float | None, float | None, Outcome]


@lru_cache(maxsize=4096)
def _bounds_of_ratio(sums: bytes, g: int, confidence: float, n_resamples: int) -> Bounds:
    """Bounds of :func:`ratio`; a report asks for the same ones in its table, its curves and its forests."""
    shaped = np.frombuffer(sums).reshape(g, -1)
    return _bounds(shaped, ratio, float(ratio(shaped.sum(axis=0))), confidence, n_resamples)


def _bounds(sums: Floats, combine: Combine, value: float, confidence: float, n_resamples: int) -> Bounds:
    from scipy.stats import bootstrap

    g = len(sums)

    def statistic(index: NDArray[np.int64], axis: int = -1) -> Floats:
        flat = np.moveaxis(index, axis, -1)
        return combine(_count(flat.reshape(-1, flat.shape[-1]), g) @ sums).reshape(flat.shape[:-1])

    counts, draws = _draws(g, n_resamples)
    with _quiet():
        batches = (counts[start : start + _BATCH] for start in range(0, n_resamples, _BATCH))
        drawn = np.concatenate([combine(batch.astype(np.float64) @ sums) for batch in batches])
        found = bootstrap(
            (np.arange(g),),
            statistic,
            vectorized=True,
            confidence_level=confidence,
            n_resamples=0,  # all of them are there
            bootstrap_result=dataclasses.replace(draws, bootstrap_distribution=drawn),
            batch=_BATCH,
            method="BCa",
        )
    if not np.isfinite(drawn).all():
        return None, None, Outcome.UNSTABLE
    if np.ptp(drawn) <= 1e-12 * max(1.0, abs(value)):
        return value, value, Outcome.ALL_EQUAL
    low, high = map(float, found.confidence_interval)
    if not (np.isfinite(low) and np.isfinite(high)):
        return None, None, Outcome.NO_INTERVAL
    return low, high, Outcome.OK


@lru_cache(maxsize=16)
def _draws(g: int, n_resamples: int) -> tuple[NDArray[np.int16], Any]:
    """How often each resample draws each of ``g`` groups, shape (n_resamples, g), and scipy's result of drawing."""
    from scipy.stats import bootstrap

    counted = []

    def record(index: NDArray[np.int64], axis: int = -1) -> Floats:
        counted.append(_count(index, g).astype(np.int16))
        return np.zeros(len(index))

    with _quiet():
        result = bootstrap(
            (np.arange(g),),
            record,
            vectorized=True,
            n_resamples=n_resamples,
            batch=_BATCH,
            method="percentile",  # the cheapest: it asks for the statistic of the resamples and of nothing else
            rng=derive_rng("bootstrap over groups"),
        )
    return np.concatenate(counted), result


def _count(index: NDArray[np.int64], g: int) -> NDArray[np.int64]:
    """How often each of ``g`` groups stands in each line of ``index``: shape (n, k) to (n, g)."""
    offsets = g * np.arange(len(index))[:, None]
    return np.bincount((index + offsets).ravel(), minlength=g * len(index)).reshape(len(index), g)


@contextmanager
def _quiet() -> Iterator[None]:
    """What scipy warns of is told by the outcome; numbers that do not exist are looked for."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


__all__ = ["N_RESAMPLES", "Combine", "Floats", "interval", "mean_interval", "ratio"]
