"""Suites of ttft-bench, and the corpora they name.

A suite is a TOML file beside this one and a line in the entry-point group ``ttft_bench.suites``.
"""

from __future__ import annotations

from pathlib import Path


def quick() -> Path:
    """The file of the suite ``quick``."""
    return Path(__file__).with_name("quick.toml")


def precision() -> Path:
    """The file of the suite ``precision``."""
    return Path(__file__).with_name("precision.toml")


def falsifiers() -> Path:
    """What would falsify the claims about HullFT; ``benchmarks/FALSIFIERS.md`` is made from it."""
    return Path(__file__).with_name("falsifiers.toml")
