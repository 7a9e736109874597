"""Clocks: single-threaded, interleaved, and against the floor of reading the pool once."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_bench.selector import Problem

#: Distributions whose versions matter to the figures.
_VERSIONS = ("numpy", "numba", "scipy", "torch", "cvxpy", "clarabel", "activeft", "ttft-bench")


def interleave(
    calls: Mapping[str, Callable[[], Any]], repetitions: int, once: tuple[str, ...] = ()
) -> dict[str, tuple[float, Any]]:
    """Median seconds of each call, and what it returned; turn about, so that drift of the machine hits all alike.

    Args:
        calls: by name.
        repetitions: rounds; each starts with another call.
        once: names that run in the first round only.
    """
    names, seconds, answers = list(calls), {name: [] for name in calls}, {}  # type: ignore[var-annotated]
    for turn in range(repetitions):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            if turn and name in once:
                continue
            start = time.perf_counter()
            answers[name] = calls[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: (float(np.median(seconds[name])), answers[name]) for name in names}


@contextmanager
def compiled(wanted: bool) -> Iterator[None]:
    """Let ours use its compiled loops, or not."""
    from ttft_strategies import _fast

    before = os.environ.get("TTFT_PURE")
    os.environ["TTFT_PURE"] = "0" if wanted else "1"
    _fast._kernels.cache_clear()
    _fast.available()  # import here, not on someone's clock
    try:
        yield
    finally:
        os.environ.pop("TTFT_PURE") if before is None else os.environ.update(TTFT_PURE=before)
        _fast._kernels.cache_clear()


def has_accelerator() -> bool:
    """Whether the compiled loops can be had."""
    from ttft_strategies import _fast

    with compiled(True):
        return _fast.available()


def bandwidth_gb_s(mebibytes: int = 256) -> float:
    """Rate at which one thread reads memory that no cache holds: the best of five sums."""
    array = np.ones(mebibytes * 2**17)
    best = np.inf
    for _ in range(5):
        start = time.perf_counter()
        array.sum()
        best = min(best, time.perf_counter() - start)
    return float(array.nbytes / best / 1e9)


def floor_us(problem: Problem, gb_s: float) -> float:
    """Microseconds to read the float32 pool once."""
    return problem.pool.nbytes / gb_s / 1e3


def machine() -> dict[str, Any]:
    """Where this runs."""
    versions = {}
    for name in _VERSIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def spread(ratios: NDArray[np.float64] | list[float]) -> tuple[float, float]:
    """The 20th and 80th percentile of per-pool ratios."""
    low, high = np.percentile(ratios, [20, 80])
    return float(low), float(high)
