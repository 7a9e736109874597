"""Optional compiled loops (``pip install 'ttft-bench[fast]'``): the same arithmetic in the same order.

numba is looked for when a solver first runs, not at import, and what it compiles is cached on disk. Without
it, or with ``TTFT_PURE=1`` in the environment, the NumPy loops run and give the same picks.
"""

from __future__ import annotations

import os
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@cache
def _kernels() -> Any:
    """The modules of compiled loops, as one namespace, or None."""
    if os.environ.get("TTFT_PURE", "") not in ("", "0"):
        return None
    try:
        from ttft_strategies import _kernels_columns, _kernels_minnorm, _kernels_round, _kernels_rows
    except (ImportError, RuntimeError):  # not installed, or nowhere to keep what it compiles
        return None
    return SimpleNamespace(
        frank_wolfe=_kernels_columns.frank_wolfe,
        geometry=_kernels_round.geometry,
        geometry_counts=_kernels_round.geometry_counts,
        min_norm_point=_kernels_minnorm.min_norm_point,
        dots=_kernels_rows.dots,
        squares=_kernels_rows.squares,
        pick_explained=_kernels_columns.pick_explained,
    )


def available() -> bool:
    """Whether the compiled loops can be used."""
    return _kernels() is not None


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written: numba compiles once more for arrays that can."""
    view = array.view()
    view.flags.writeable = False
    return view


def dots(rows: NDArray[Any], vector: NDArray[np.float64], out: NDArray[np.float64]) -> NDArray[np.float64]:
    """See :func:`ttft_strategies._kernels_rows.dots`."""
    _kernels().dots(frozen(rows), frozen(vector), out)
    return out


def squares(rows: NDArray[Any], out: NDArray[np.float64]) -> NDArray[np.float64]:
    """See :func:`ttft_strategies._kernels_rows.squares`."""
    _kernels().squares(frozen(rows), out)
    return out


def frank_wolfe(rows: NDArray[Any], *arguments: Any) -> tuple[int, int]:
    """See :func:`ttft_strategies._kernels_columns.frank_wolfe`."""
    code, steps = _kernels().frank_wolfe(frozen(rows), *arguments)
    return int(code), int(steps)


def min_norm_point(rows: NDArray[Any], target: NDArray[np.float64], *arguments: Any) -> tuple[int, int, float, float]:
    """See :func:`ttft_strategies._kernels_minnorm.min_norm_point`."""
    answer: tuple[int, int, float, float] = _kernels().min_norm_point(frozen(rows), frozen(target), *arguments)
    return answer


def geometry(rows: NDArray[Any], *arguments: Any) -> NDArray[np.int64]:
    """See :func:`ttft_strategies._kernels_round.geometry`."""
    return np.asarray(_kernels().geometry(frozen(rows), *arguments))


def geometry_counts(*arguments: Any) -> NDArray[np.int64]:
    """See :func:`ttft_strategies._kernels_round.geometry_counts`."""
    return np.asarray(_kernels().geometry_counts(*arguments))


def pick_explained(rows: NDArray[Any], *arguments: Any) -> NDArray[np.int64]:
    """See :func:`ttft_strategies._kernels_columns.pick_explained`."""
    return np.asarray(_kernels().pick_explained(frozen(rows), *arguments))
