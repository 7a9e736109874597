"""Check what strategies claim against exact solutions, on real pools.

Two questions, one row per strategy, pool and budget:

- Is the certificate true? The reference is solved for the very program that the strategy solves (``cap`` and
  ``ridge`` included), f* within its own certified gap; then ``0 <= f(w) - f* <= gap(w)`` must hold. With f_ref
  what the reference reached and a its own gap (its accuracy), ``f_ref - a <= f* <= f_ref``, so what must hold
  of the figures at hand is::

      -(tolerance + a)  <=  f(w) - f_ref  <=  gap(w) + tolerance

- How good is the rounding? On the first few rows of each pool, where the integer program over counts can be
  solved, the strategy's whole steps are compared with the best whole steps there are.
"""

from __future__ import annotations

from ttft_bench.verify.pairing import (
    IntegerReference,
    certified_selectors,
    default_integer_reference,
    paired_reference,
    paired_references,
)
from ttft_bench.verify.rows import Pool, VerifyRow, verify
from ttft_bench.verify.summary import VerifySummary, rows_to_csv, summarise
from ttft_bench.verify.traces import Trace, gap_traces

__all__ = [
    "IntegerReference",
    "Pool",
    "Trace",
    "VerifyRow",
    "VerifySummary",
    "certified_selectors",
    "default_integer_reference",
    "gap_traces",
    "paired_reference",
    "paired_references",
    "rows_to_csv",
    "summarise",
    "verify",
]
