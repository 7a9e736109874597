"""Clocks, ceilings and the description of the machine."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch


def wait(device: torch.device) -> None:
    """Wait for the whole device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(run: Callable[[], Any], device: torch.device, rounds: int = 5, inner: int = 1) -> float:
    """Median over ``rounds`` of the seconds of one ``run``, which is queued ``inner`` times between two waits."""
    taken = []
    for _ in range(rounds):
        wait(device)
        start = time.perf_counter()
        for _ in range(inner):
            run()
        wait(device)
        taken.append((time.perf_counter() - start) / inner)
    return statistics.median(taken)


def ceilings(device: torch.device, quick: bool) -> dict[str, float]:
    """What the machine reaches: TFLOP/s of a large matrix product, GB/s of a copy (read and written bytes)."""
    size = 256 if quick else 8192 if device.type == "cuda" else 2048
    found = {}
    kinds = [("bf16", torch.bfloat16, "highest"), ("tf32", torch.float32, "high"), ("fp32", torch.float32, "highest")]
    for name, dtype, precision in kinds if device.type == "cuda" else kinds[-1:]:
        torch.set_float32_matmul_precision(precision)
        left = torch.randn(size, size, device=device).to(dtype)
        right = torch.randn(size, size, device=device).to(dtype)
        out = torch.empty(size, size, device=device, dtype=dtype)
        product = _into(left, right, out)
        seconds(product, device, 1, 3)
        inner = 20 if device.type == "cuda" else 2
        found[f"{name}_tflop_s"] = 2 * size**3 / seconds(product, device, 5, inner) / 1e12
    torch.set_float32_matmul_precision("highest")
    count = (1 << 20) if quick else (1 << 28) if device.type == "cuda" else (1 << 25)
    source, target = torch.zeros(count, device=device), torch.empty(count, device=device)
    copied = seconds(lambda: target.copy_(source), device, 5, 5)
    found["gb_s"] = 2 * 4 * count / copied / 1e9
    return found


def _into(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> Callable[[], Any]:
    return lambda: torch.mm(left, right, out=out)


def machine(device: torch.device) -> dict[str, Any]:
    """Where the figures come from."""
    from ttft_bench.sweep.provenance import collect

    known = collect([])
    known.pop("argv", None)
    gpu = torch.cuda.get_device_properties(device) if device.type == "cuda" else None
    return {
        **known,
        "platform": platform.machine(),
        "device": device.type,
        "gpu": gpu.name if gpu else None,
        "gpu_gib": round(memory_gib(device), 1) if gpu else None,
        "torch_build": torch.__version__,
        "cuda": torch.version.cuda,
    }


def memory_gib(device: torch.device) -> float:
    """Of a GPU, all of it; of what is none, nothing."""
    return torch.cuda.get_device_properties(device).total_memory / 2**30 if device.type == "cuda" else 0.0


def reset_peak(device: torch.device) -> int:
    """Begin to watch device memory; gives the bytes that are taken already."""
    if device.type != "cuda":
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def peak_mib(device: torch.device, before: int = 0) -> float | None:
    """Largest device memory since :func:`reset_peak`, less what it found taken."""
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20 if device.type == "cuda" else None
