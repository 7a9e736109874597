"""The child process that imports libraries and times devices: ``python -m ttft_bench.doctor.probe``."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

from ttft_bench.registry.children import serve

#: Seconds that each measurement takes, after a first round that is not counted.
_MEASURE_S = 0.2
#: Rows of the square matrices, and bytes that are copied.
_ROWS = {"cpu": 512, "cuda": 4096, "mps": 2048}
_COPIED = {"cpu": 1 << 26, "cuda": 1 << 29, "mps": 1 << 28}


def answer(item: dict[str, Any]) -> dict[str, Any]:
    """Do one task: import a module, or time the processor or the accelerators."""
    try:
        if item["task"] == "import":
            importlib.import_module(item["module"])
            return {}
        return _cpu() if item["task"] == "cpu" else _accelerators()
    except BaseException as error:  # also what ends a process: here it is an answer
        return {"error": " ".join(f"{type(error).__name__}: {error}".split())[:500]}


def _cpu() -> dict[str, Any]:
    import torch

    from ttft_bench.engine.host import cpu_quota, fit_threads

    return {"threads": fit_threads(), "quota": cpu_quota(), "torch": torch.__version__, **_speeds(torch.device("cpu"))}


def _accelerators() -> dict[str, Any]:
    import torch

    found: list[dict[str, Any]] = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            device = torch.device("cuda", index)
            facts: dict[str, Any] = {"device": f"cuda:{index}", "name": torch.cuda.get_device_name(device)}
            try:
                with torch.cuda.device(device):
                    free, total = torch.cuda.mem_get_info(device)
                    facts |= {"free_bytes": free, "total_bytes": total, **_speeds(device)}
            except RuntimeError as error:  # full, or at fault
                facts["error"] = " ".join(str(error).split())[:500]
            found.append(facts)
    elif torch.backends.mps.is_available():
        found.append({"device": "mps", "name": "mps", **_speeds(torch.device("mps"))})
    return {"devices": found, "cuda_build": torch.version.cuda}


def _speeds(device: Any) -> dict[str, Any]:
    """Rates of a product in fp32 and in bf16 and of a copy (read and written), and whether a product was right."""
    import torch

    from ttft_bench.engine.clock import synchronize

    rows = _ROWS[device.type]
    ones = torch.ones(rows, rows, device=device)
    right = bool(torch.all(ones @ ones == rows))
    operations = 2.0 * rows**3
    half = ones.to(torch.bfloat16)
    source = torch.zeros(_COPIED[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def rate(work: Callable[[], Any]) -> float:
        work()
        synchronize(device)
        rounds, start = 0, time.perf_counter()
        while True:
            work()
            synchronize(device)
            rounds += 1
            elapsed = time.perf_counter() - start
            if elapsed >= _MEASURE_S:
                return rounds / elapsed

    return {
        "right": right,
        "fp32_gflop_per_s": operations * rate(lambda: torch.mm(ones, ones)) / 1e9,
        "bf16_gflop_per_s": operations * rate(lambda: torch.mm(half, half)) / 1e9,
        "copy_gb_per_s": 2.0 * source.numel() * rate(lambda: target.copy_(source)) / 1e9,
    }


if __name__ == "__main__":
    serve(answer)
