"""What a GPU is, how fast it is fed, and where the time of a batch goes on it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ttft_bench.selector import Problem, Selector


def kernels_on(device: str) -> bool:
    """Whether select_many has kernels there that run a prompt each."""
    from ttft_strategies._arrays import TorchArrays
    from ttft_strategies._fused import usable

    return usable(TorchArrays(device))


def describe(device: str) -> dict[str, Any]:
    """Name, memory and the versions that matter."""
    import torch

    properties = torch.cuda.get_device_properties(torch.device(device))
    try:
        import triton

        version = triton.__version__
    except ImportError:
        version = "not installed"
    return {
        "name": properties.name,
        "memory_gib": round(properties.total_memory / 2**30),
        "cuda": torch.version.cuda,
        "triton": version,
    }


def bus_gb_s(device: str, mebibytes: int = 256) -> float:
    """Rate at which pinned memory reaches the device: the best of five copies."""
    import torch

    source = torch.ones(mebibytes * 2**20, dtype=torch.uint8).pin_memory()
    target = torch.empty_like(source, device=device)
    best = np.inf
    for _ in range(6):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        target.copy_(source, non_blocking=True)
        torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return float(source.nbytes / best / 1e9)


def stages(selector: Selector, problems: Sequence[Problem], device: str, repetitions: int = 10) -> dict[str, float]:
    """Median microseconds a prompt of each stage of a batch, one after another instead of overlapped.

    Their sum is more than a batch takes, since there the first stages of one part run beside the later ones of
    another.
    """
    import torch

    from ttft_strategies._arrays import TorchArrays
    from ttft_strategies._fused import PLAN, hullft_fused, sift_fused
    from ttft_strategies._stops import Stops
    from ttft_strategies.hullft import HullFT

    plan, arrays, own = replace(PLAN, parts=1), TorchArrays(device), selector
    seconds: dict[str, list[float]] = defaultdict(list)
    answer: Callable[[Callable[[str], None]], Any]
    if isinstance(own, HullFT):
        stops = Stops(problems[0].budget, own.max_iter, own.tol, own.gap_tol)

        def answer(mark: Callable[[str], None]) -> Any:
            return hullft_fused(problems, arrays, stops, plan, mark)
    else:

        def answer(mark: Callable[[str], None]) -> Any:
            return sift_fused(problems, arrays, own.lam, own.repeats, plan, mark)  # type: ignore[attr-defined]

    for turn in range(repetitions + 1):
        last = time.perf_counter()

        def mark(name: str, turn: int = turn) -> None:
            nonlocal last
            torch.cuda.synchronize(device)
            now = time.perf_counter()
            if turn:  # the first round warms up
                seconds[name].append(now - last)
            last = now

        answer(mark)
    return {name: float(np.median(times)) / len(problems) * 1e6 for name, times in seconds.items()}
