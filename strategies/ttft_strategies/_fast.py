"""Optional compiled loops (``pip install 'ttft-bench[fast]'``): the same arithmetic in the same order.

numba is looked for when a solver first runs, not at import, and what it compiles is cached on disk. Without
it, or with ``TTFT_PURE=1`` in the environment, the NumPy loops run and give the same picks.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


@cache
def _kernels() -> Any:
    """The module of compiled loops, or None."""
    if os.environ.get("TTFT_PURE", "") not in ("", "0"):
        return None
    try:
        from ttft_strategies import _kernels as compiled
    except (ImportError, RuntimeError):  # not installed, or nowhere to keep what it compiles
        return None
    return compiled


def available() -> bool:
    """Whether the compiled loops can be used."""
    return _kernels() is not None


def frank_wolfe(*arguments: Any) -> tuple[int, int]:
    """See :func:`ttft_strategies._kernels.frank_wolfe`."""
    code, steps = _kernels().frank_wolfe(*arguments)
    return int(code), int(steps)


def geometry(*arguments: Any) -> NDArray[np.int64]:
    """See :func:`ttft_strategies._kernels.geometry`."""
    return np.asarray(_kernels().geometry(*arguments))
