"""Products with a pool, compiled by numba; :mod:`ttft_strategies._rows` imports it lazily, if it can.

A pool of float32 stays as it is: entries are widened in the registers, one after another, and summed in float64.
That reads half the memory that a float64 copy does, and needs none. Every row is summed in the same order, so
equal rows have equal products.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def dots(rows: Any, vector: Any, out: Any) -> None:
    """``rows @ vector`` into ``out``: shapes (K, d), (d,) and (K,)."""
    for i in range(len(rows)):
        row = rows[i]
        total = 0.0
        for j in range(len(vector)):
            total += row[j] * vector[j]
        out[i] = total


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def squares(rows: Any, out: Any) -> None:
    """``<p_i, p_i>`` of each row into ``out``."""
    for i in range(len(rows)):
        row = rows[i]
        total = 0.0
        for j in range(len(row)):
            x = np.float64(row[j])  # as float32 it would be squared in float32
            total += x * x
        out[i] = total
