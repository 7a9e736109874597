"""How long a run will take, before it starts: model size times this machine's measured arithmetic."""

from __future__ import annotations

import time
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ttft_bench.sweep.request import Request
    from ttft_bench.sweep.run import Plan

#: Forward plus backward of a transformer: 6 operations per weight and token (2 forward, 4 backward).
_OPERATIONS_PER_WEIGHT = 6.0
#: Share of the machine's matrix-product rate that a small model at batch 1 reaches, optimizer step included.
_EFFICIENCY = {"cpu": 0.6, "cuda": 0.1, "mps": 0.1}


def estimate_seconds(plan: Plan, request: Request) -> float | None:
    """About how many seconds of finetuning are still to do, on this machine if it is otherwise idle.

    No bound: what strategies pick alike makes it less, anything that runs beside it makes it more.

    Returns:
        None if the model is not on this machine, so that its size is unknown.
    """
    from ttft_bench import assets
    from ttft_bench.engine.model import resolve_device
    from ttft_bench.sweep.cost import count_steps, mean_tokens

    name = request.suite.model.name
    folder = Path(assets.path(name)) if assets.is_asset(name) else Path(name)
    if not folder.is_dir():
        return None
    device = resolve_device(request.device)
    operations = _OPERATIONS_PER_WEIGHT * count_weights(folder) * mean_tokens(request.suite)
    per_step = operations / (_EFFICIENCY[device.type] * matrix_rate(device.type))
    return per_step * count_steps([cell for cell in plan.cells if cell.cell_id not in plan.done])


def count_weights(folder: Path) -> int:
    """Number of weights in a folder of safetensors, from the headers alone."""
    from ttft_bench.engine.headers import weight_shapes

    return sum(prod(shape) for shape in weight_shapes(folder).values())


def matrix_rate(device: str) -> float:
    """Floating-point operations per second of an fp32 matrix product of a small model's size."""
    import torch

    from ttft_bench.engine.clock import synchronize

    generator = torch.Generator(device="cpu").manual_seed(0)
    target = torch.device(device)
    left = torch.randn(128, 768, generator=generator).to(target)
    right = torch.randn(768, 3072, generator=generator).to(target)
    for _ in range(3):
        left @ right
    synchronize(target)
    rounds = 20
    start = time.perf_counter()
    for _ in range(rounds):
        left @ right
    synchronize(target)
    return 2.0 * 128 * 768 * 3072 * rounds / (time.perf_counter() - start)


__all__ = ["count_weights", "estimate_seconds", "matrix_rate"]
