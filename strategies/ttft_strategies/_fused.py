"""HullFT and SIFT for many prompts on Triton kernels that run a prompt each from start to end.

Used by :mod:`ttft_strategies._batch` and :mod:`ttft_strategies._batch_hull` on a CUDA device where triton can be
imported; anything else, pools too large for one program, and a device on which the kernels fail (which is told
once) take their array operations instead. ``TTFT_TRITON=0`` in the environment does without the kernels;
``TRITON_INTERPRET=1`` interprets them on the processor, slowly, for tests.

On its way a batch is: gathered and sent, :mod:`ttft_strategies._staging`; Gram matrices, one batched product; one
launch that solves; one that rounds; certificates from the residual; one copy back; ``Selection`` objects.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from ttft_bench.selector import Problem, Selection
from ttft_strategies._arrays import Arrays, TorchArrays
from ttft_strategies._gram import SUPPORT_TOLERANCE, TIE_TOLERANCE
from ttft_strategies._integerize import _NUDGE, _SAME_LOSS, _SAME_WEIGHT
from ttft_strategies._staging import Mark, Plan, answers_in_parts, unmarked
from ttft_strategies._stops import STATUS, Stops, certificates

PLAN = Plan()
#: Numbers of one vector and items of a support beyond which a program would hold too much.
_MOST_LANES, _MOST_SUPPORT = 4096, 1024
#: Entries of a support's Gram block that the rounding reads at a time.
_BAND_ENTRIES = 2048
#: Earlier factors that SIFT reads at a time.
_FACTOR_ROWS = 8
#: Products and sums are rounded one by one, as NumPy rounds them.
_OPTIONS = {"enable_fp_fusion": False}
#: Why the kernels are not used any more, if they failed.
_broken: list[str] = []


def run_fused(arrays: Arrays, road: Callable[[TorchArrays], list[Selection] | None]) -> list[Selection] | None:
    """Answer with the kernels, or say with None that the array operations must.

    Warns:
        RuntimeWarning: once, if the kernels were to run and failed; its text names the cause.
    """
    if _broken or not usable(arrays):
        return None
    assert isinstance(arrays, TorchArrays)
    try:
        return road(arrays)
    except (MemoryError, arrays.module.cuda.OutOfMemoryError):
        raise
    except Exception as error:  # compilers fail in many ways, and there is another road
        _broken.append(f"{type(error).__name__}: {error}")
        warnings.warn(
            f"the Triton kernels cannot be used on {arrays.device}, array operations are used instead ({_broken[0]})",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def usable(arrays: Arrays) -> bool:
    """Whether there are kernels for this device."""
    if not isinstance(arrays, TorchArrays) or os.environ.get("TTFT_TRITON", "1") == "0":
        return False
    interpreted = os.environ.get("TRITON_INTERPRET", "0") == "1"
    return arrays.device.type == ("cpu" if interpreted else "cuda") and _kernels() is not None


@cache
def _kernels() -> Any:
    """The kernels by name, or None without triton."""
    try:
        from ttft_strategies import _kernels_triton, _kernels_triton_round
    except ImportError:
        return None
    return {
        "frank_wolfe": _kernels_triton.frank_wolfe,
        "sift": _kernels_triton.sift,
        "geometry": _kernels_triton_round.geometry,
    }


def hullft_fused(
    problems: Sequence[Problem], arrays: TorchArrays, stops: Stops, plan: Plan = PLAN, mark: Mark = unmarked
) -> list[Selection] | None:
    """HullFT with its vanilla solver and ``geometry`` rounding, for problems of equal shape and budget.

    Args:
        problems: B prompts.
        arrays: a device with kernels.
        stops: when the solver ends.
        plan: how to cut the batch.
        mark: called with the name of each stage once it is queued.

    Returns:
        None if the pools are too large for one program.
    """
    from ttft_strategies._kernels_triton import GAP, HEADER, OBJECTIVE

    torch, budget, size = arrays.module, problems[0].budget, problems[0].size
    room = min(size, max(stops.support_limit, 1), stops.max_iter + 1)
    lanes, padded = _power(size), _power(room)
    if lanes > _MOST_LANES or padded > _MOST_SUPPORT:
        return None
    kernels, width = _kernels(), HEADER + size + budget
    numbers = (stops.tol * stops.tol, stops.gap_tol, TIE_TOLERANCE, SUPPORT_TOLERANCE)
    solving = _numbers(str(arrays.device), *numbers)
    rounding = _numbers(str(arrays.device), _NUDGE, TIE_TOLERANCE, _SAME_LOSS, _SAME_WEIGHT)

    def work(raw: Any) -> Any:
        count = len(raw)
        rows, targets = _widened(torch, raw, size)
        target = targets.mean(1)
        b = torch.bmm(rows, target[:, :, None])
        gram = torch.bmm(rows, rows.transpose(1, 2))
        square = (target * target).sum(1)
        out = torch.empty((count, width), dtype=torch.float64, device=raw.device)
        items = torch.empty((count, room), dtype=torch.int32, device=raw.device)
        scratch = torch.empty((count, padded * (padded + 2)), dtype=torch.float64, device=raw.device)
        mark("gram")
        kernels["frank_wolfe"][(count,)](
            gram, b, square, solving, out, items, size, stops.support_limit, stops.max_iter, width, room,
            BLOCK=lanes, num_warps=max(plan.solve_warps * lanes // 256, 1), **_OPTIONS,
        )  # fmt: skip
        mark("solve")
        kernels["geometry"][(count,)](
            gram, b, rounding, out, items, scratch, size, budget, width, room,
            M=padded, BAND=min(padded, _BAND_ENTRIES // padded), num_warps=plan.round_warps, **_OPTIONS,
        )  # fmt: skip
        mark("round")
        objective, gap = certificates(torch, rows, target, out[:, HEADER : HEADER + size])
        out[:, OBJECTIVE] = objective
        out[:, GAP] = gap
        mark("certify")
        return out

    answers: list[Selection] = []
    for table in answers_in_parts([(one.pool, one.query) for one in problems], arrays, work, plan, mark):
        objectives, gaps, codes, steps, supports = table[:, :HEADER].T.tolist()
        weights = table[:, HEADER : HEADER + size].copy()
        positions = table[:, HEADER + size :].astype(np.int64)
        answers += [
            Selection(own, own_weights, objective, gap, STATUS[int(code)], {"iterations": n, "support": m})
            for own, own_weights, objective, gap, code, n, m in zip(
                positions, weights, objectives, gaps, codes, steps, supports, strict=True
            )
        ]
    mark("build")
    return answers


def sift_fused(
    problems: Sequence[Problem],
    arrays: TorchArrays,
    lam: float,
    repeats: bool,
    plan: Plan = PLAN,
    mark: Mark = unmarked,
) -> list[Selection] | None:
    """Exact greedy SIFT of problems of equal shape and budget; as :func:`hullft_fused`."""
    torch, size, many = arrays.module, problems[0].size, len(problems[0].query)
    budget = problems[0].budget if repeats else min(problems[0].budget, size)
    lanes, targets_padded = _power(size), 2 ** (many - 1).bit_length()
    if lanes * targets_padded > _MOST_LANES or budget * size >= 2**31:
        return None
    kernels, numbers = _kernels(), _numbers(str(arrays.device), lam, TIE_TOLERANCE)

    def work(raw: Any) -> Any:
        count = len(raw)
        rows, targets = _widened(torch, raw, size)
        gram = torch.bmm(rows, rows.transpose(1, 2))
        cross = torch.bmm(targets, rows.transpose(1, 2))
        square = (targets * targets).sum((1, 2))
        out = torch.empty((count, 1 + budget), dtype=torch.float64, device=raw.device)
        factors = torch.empty((count, budget, size), dtype=torch.float64, device=raw.device)
        mark("gram")
        kernels["sift"][(count,)](
            gram, cross, square, numbers, out, factors, size, many, budget,
            REPEATS=repeats, TARGETS=targets_padded, BLOCK=lanes, ROWS=_FACTOR_ROWS,
            num_warps=max(plan.sift_warps * lanes * targets_padded // 1024, plan.sift_warps), **_OPTIONS,
        )  # fmt: skip
        mark("solve")
        return out

    answers: list[Selection] = []
    for table in answers_in_parts([(one.pool, one.query) for one in problems], arrays, work, plan, mark):
        left = (np.maximum(table[:, 0], 0.0) / many).tolist()
        answers += [
            Selection(own, diagnostics={"posterior_variance": value})
            for own, value in zip(table[:, 1:].astype(np.int64), left, strict=True)
        ]
    mark("build")
    return answers


def _widened(torch: Any, raw: Any, size: int) -> tuple[Any, Any]:
    """Pools (n, K, d) and queries (n, m, d) in float64."""
    kind = {"dtype": torch.float64, "memory_format": torch.contiguous_format}
    return raw[:, :size].to(**kind), raw[:, size:].to(**kind)


def _power(count: int) -> int:
    """The least power of two of at least ``count`` and 16."""
    return int(max(1 << (count - 1).bit_length(), 16))


@lru_cache(maxsize=64)
def _numbers(device: str, *values: float) -> Any:
    """Numbers on a device, sent once."""
    import torch

    return torch.tensor(values, dtype=torch.float64, device=device)
