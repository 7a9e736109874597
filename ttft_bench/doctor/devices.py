"""The processor, its memory and the accelerators: there, used, fast and right."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ttft_bench.doctor.finding import Finding
from ttft_bench.registry.children import ask_each
from ttft_bench.text import size

SECTION = "devices"
_TIMEOUT_S = 180.0
#: The built-in model in fp32 with its gradient, Adam's moments and the snapshot, and the libraries.
_MEMORY_BYTES = 4 * 2**30


def examine() -> Iterator[Finding]:
    """The processor, the memory, and each accelerator."""
    cpu, others = ask_each("ttft_bench.doctor.probe", [{"task": "cpu"}, {"task": "accelerators"}], _TIMEOUT_S, "timing")
    yield _cpu(cpu)
    yield from _memory()
    yield from _accelerators(others)


def _cpu(answer: dict[str, Any] | str) -> Finding:
    failure = _failure(answer)
    if failure or isinstance(answer, str):
        return Finding(SECTION, "cpu", "problem", failure, "see what is said of torch above")
    quota = answer["quota"]
    cores = os.cpu_count()
    allowed = "" if quota is None else f", and a container's quota of {quota:g}"
    told = f"threads: {answer['threads']} on {cores} cores{allowed}; {_speeds(answer)}"
    data = {"cores": cores, **answer}
    if not answer["right"]:
        return Finding(SECTION, "cpu", "problem", f"a matrix product came out wrong; {told}", "reinstall torch", data)
    if quota is not None and answer["threads"] > max(quota, 1):
        remedy = f"set OMP_NUM_THREADS={max(int(quota), 1)}, or leave it and MKL_NUM_THREADS unset"
        return Finding(
            SECTION, "cpu", "warning", f"more threads than the quota, which makes it slow; {told}", remedy, data
        )
    return Finding(SECTION, "cpu", detail=told, data=data)


def _memory() -> Iterator[Finding]:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        kib = {key: int(value.split()[0]) for key, _, value in (line.partition(":") for line in lines)}
        free, total = 1024 * kib["MemAvailable"], 1024 * kib["MemTotal"]
    except (OSError, ValueError, KeyError, IndexError):
        return  # not Linux
    data = {"available_bytes": free, "total_bytes": total}
    told = f"{size(free)} available of {size(total)}"
    if free < _MEMORY_BYTES:
        remedy = f"end what else uses it: a run of the built-in model takes about {size(_MEMORY_BYTES)}"
        yield Finding(SECTION, "memory", "warning", told, remedy, data)
    else:
        yield Finding(SECTION, "memory", detail=told, data=data)


def _accelerators(answer: dict[str, Any] | str) -> Iterator[Finding]:
    failure = _failure(answer)
    if failure or isinstance(answer, str):
        remedy = "see what is said of torch above, or use --device cpu"
        yield Finding(SECTION, "accelerators", "problem", failure, remedy)
        return
    for facts in answer["devices"]:
        name = f"{facts['device']} {facts['name']}".strip()
        if "error" in facts:
            remedy = "end what else uses it, or choose another with --device"
            yield Finding(SECTION, name, "problem", f"cannot be used: {facts['error']}", remedy, facts)
            continue
        memory = f"{size(facts['free_bytes'])} free of {size(facts['total_bytes'])}; " if "free_bytes" in facts else ""
        told = f"{memory}{_speeds(facts)}"
        if facts["right"]:
            yield Finding(SECTION, name, detail=told, data=facts)
        else:
            yield Finding(
                SECTION,
                name,
                "problem",
                f"a matrix product came out wrong; {told}",
                "use another with --device, and update driver and torch",
                facts,
            )
    if not answer["devices"]:
        yield _no_accelerator(answer["cuda_build"])


def _no_accelerator(cuda_build: str | None) -> Finding:
    if not (Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi")):
        return Finding(SECTION, "accelerators", detail="none", data={"cuda_build": cuda_build})
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        told = f"none is visible: CUDA_VISIBLE_DEVICES is {os.environ['CUDA_VISIBLE_DEVICES']!r}"
        return Finding(SECTION, "accelerators", "warning", told, "unset CUDA_VISIBLE_DEVICES to use them")
    if cuda_build is None:
        told = "this machine has an NVIDIA driver, but torch is built without CUDA"
        return Finding(SECTION, "accelerators", "warning", told, "install a CUDA build of torch (pytorch.org says how)")
    told = f"this machine has an NVIDIA driver, but torch for CUDA {cuda_build} finds no device"
    return Finding(SECTION, "accelerators", "warning", told, "run nvidia-smi: the driver may be too old or not loaded")


def _failure(answer: dict[str, Any] | str) -> str:
    return answer if isinstance(answer, str) else str(answer.get("error", ""))


def _speeds(facts: dict[str, Any]) -> str:
    products = f"products {facts['fp32_gflop_per_s']:,.0f} GFLOP/s in fp32, {facts['bf16_gflop_per_s']:,.0f} in bf16"
    return f"{products}; copies {facts['copy_gb_per_s']:,.1f} GB/s"


__all__ = ["examine"]
