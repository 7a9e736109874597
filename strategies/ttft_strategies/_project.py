"""Principal components of a pool."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_strategies._gram import Matrix, Vector


def principal(pool: NDArray[Any], target: NDArray[Any], dimensions: int) -> tuple[Matrix, Vector]:
    """Pool and target in the first principal components of the pool, both centred at the pool's mean.

    Weights that sum to 1 reconstruct alike wherever the origin is, so centring costs nothing. Components come
    from the smaller of ``C C^T`` and ``C^T C`` for centred rows C: O(min(K, d)^2 max(K, d)).

    Args:
        pool: shape (K, d).
        target: shape (d,).
        dimensions: p, at least 1; fewer are kept if the pool spans fewer.

    Returns:
        Shapes (K, p) and (p,).
    """
    rows = np.asarray(pool, dtype=np.float64)
    mean = rows.mean(axis=0)
    centred = rows - mean
    size, width = centred.shape
    values, vectors = np.linalg.eigh(centred @ centred.T if size <= width else centred.T @ centred)
    top = np.argsort(-values, kind="stable")[:dimensions]
    # At least one, so that a pool of equal rows still has a coordinate.
    top = top[: max(int(np.count_nonzero(values[top] > 1e-12 * max(float(values.max()), 1e-12))), 1)]
    axes = vectors[:, top]
    if size <= width:
        axes = centred.T @ axes
        axes /= np.maximum(np.linalg.norm(axes, axis=0), 1e-300)
    return centred @ axes, (target - mean) @ axes
