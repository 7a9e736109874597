"""Adam on a part of the device: the arithmetic of :func:`ttft_bench.engine.compiled.rules.adam_` in few thread blocks.

An update that fills the device keeps everything beside it waiting: as one of its thousands of blocks ends the next
takes its place, and a matrix product, whose blocks want a whole multiprocessor each, finds none empty until all are
over. Here a few large blocks go through the weights, so that the others' multiprocessors stay free.

Importing this needs triton, which comes with PyTorch for CUDA.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any

import torch
import triton
import triton.language as tl

#: Elements that a thread block holds at once, and its warps: what moves most with few blocks (62 % of a copy's rate
#: with 32 of them on 132 multiprocessors; half of that with 16 warps, and loads begun a round ahead do not help).
BLOCK, WARPS = 4096, 32
#: A product and a sum may be one operation, as in what torch.compile makes of the rules: a model's bits must not depend
#: on which of the two updated it.
OPTIONS = {"enable_fp_fusion": True}
#: A table's rows are taken apart into pieces of at most so many elements, a power of two.
_PIECE = 128
#: What :class:`Rows` has for a row that no token names.
NOBODY = 2**31 - 1
_NOBODY = tl.constexpr(NOBODY)

Rule = tuple[float, float, float, float]


@dataclass(frozen=True)
class Rows:
    """A table some of whose rows, those of a step's own tokens, get their gradient last.

    Attributes:
        owners: int32, one for each row: the first of the step's tokens that names it, or :data:`NOBODY`.
        width: elements of a row.
    """

    owners: torch.Tensor
    width: int

    @classmethod
    def of(cls, rows: int, width: int, device: torch.device) -> Rows | None:
        """For a table of that shape; None if its rows cannot be taken apart into pieces of 16 or more."""
        if piece(width) < 16:
            return None
        return cls(torch.empty(rows, dtype=torch.int32, device=device), width)

    def mark(self, ids: torch.Tensor) -> None:
        """Note whose rows are to wait; ``ids``: int64, shape (tokens,)."""
        self.owners.fill_(NOBODY)
        places = torch.arange(len(ids), dtype=torch.int32, device=ids.device)
        self.owners.scatter_reduce_(0, ids, places, "amin")


def adam_(
    group: tuple[torch.Tensor, ...],
    step: torch.Tensor,
    lr: torch.Tensor,
    size: torch.Tensor,
    root: torch.Tensor,
    scale: None,
    rule: Rule,
    dither: bool = True,
    *,
    programs: int,
    rows: Rows | None = None,
) -> None:
    """As :func:`ttft_bench.engine.compiled.rules.adam_`, without clipping.

    Args:
        group: as there.
        step: as there.
        lr: as there.
        size: as there.
        root: as there.
        scale: must be None.
        rule: as there.
        dither: as there.
        programs: number of thread blocks.
        rows: the group is this table, and only rows are updated that no token names.
    """
    assert scale is None
    count = group[0].numel()
    owners, width = (rows.owners, rows.width) if rows is not None else (step, 0)
    blocks = min(programs, triton.cdiv(count, BLOCK))
    fixed = _fixed(group, rule, dither)
    with on(group[0]):
        _adam[(blocks,)](
            *(*group, owners, step, lr, size, root, count),
            **{**fixed, "WIDTH": width, "PIECE": piece(width), "BLOCK": BLOCK},
            num_warps=WARPS,
            **OPTIONS,
        )


def adam_rows_(
    group: tuple[torch.Tensor, ...],
    step: torch.Tensor,
    lr: torch.Tensor,
    size: torch.Tensor,
    root: torch.Tensor,
    scale: None,
    rule: Rule,
    dither: bool = True,
    *,
    rows: Rows,
    ids: torch.Tensor,
) -> None:
    """What :func:`adam_` leaves: the rows of ``group`` that ``ids`` name, each once; other arguments as there."""
    assert scale is None
    fixed = _fixed(group, rule, dither)
    with on(group[0]):
        _adam_rows[(len(ids),)](
            *(*group, rows.owners, ids, step, lr, size, root),
            **{**fixed, "WIDTH": rows.width, "BLOCK": triton.next_power_of_2(rows.width)},
            num_warps=4,
            **OPTIONS,
        )


def piece(width: int) -> int:
    """Elements of the pieces that a table's rows of so many are taken apart into; 1 for no table."""
    return gcd(width, _PIECE) if width else 1


def _fixed(group: tuple[torch.Tensor, ...], rule: Rule, dither: bool) -> dict[str, Any]:
    beta1, beta2, eps, decay = rule
    betas = {"BETA1": beta1, "BETA2": beta2, "EPS": eps, "DECAY": decay}
    return {**betas, "SHADOW": group[1].data_ptr() != group[0].data_ptr(), "DITHER": dither}


def on(tensor: torch.Tensor) -> Any:
    """Where kernels are launched: on the device of ``tensor``."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else torch.no_grad()


@triton.jit
def _rounded(w: tl.tensor, m: tl.tensor, DITHER: tl.constexpr) -> tl.tensor:
    """``rules.dithered``, or to the nearest."""
    if DITHER:
        bits = w.to(tl.int32, bitcast=True)
        mixed = (bits * -1640531527) ^ (m.to(tl.int32, bitcast=True) * -2048144789)
        mixed = (mixed ^ (mixed >> 15)) * 739982445
        mixed = (mixed ^ (mixed >> 12)) * 695872825
        w = ((bits + ((mixed >> 15) & 0xFFFF)) & -65536).to(tl.float32, bitcast=True)
    return w.to(tl.bfloat16)


@triton.jit
def _update(
    weights: tl.tensor,
    shadow: tl.tensor,
    gradient: tl.tensor,
    first: tl.tensor,
    second: tl.tensor,
    at: tl.tensor,
    here: tl.tensor,
    step: tl.tensor,
    lr: tl.tensor,
    size: tl.tensor,
    root: tl.tensor,
    BETA1: tl.constexpr,
    BETA2: tl.constexpr,
    EPS: tl.constexpr,
    DECAY: tl.constexpr,
    SHADOW: tl.constexpr,
    DITHER: tl.constexpr,
) -> None:
    """Load what lies ``at`` and is ``here``, store it after a step: operation for operation that of ``rules.adam_``."""
    w = tl.load(weights + at, mask=here, other=0.0)
    g = tl.load(gradient + at, mask=here, other=0.0).to(tl.float32)
    m = tl.load(first + at, mask=here, other=0.0)
    v = tl.load(second + at, mask=here, other=0.0)
    begun = tl.load(step) > 1
    m = tl.where(begun, m, 0.0)
    m = m + (g - m) * (1 - BETA1)
    v = tl.where(begun, v, 0.0) * BETA2 + g * g * (1 - BETA2)
    if DECAY != 0:
        w = w * (1 - tl.load(lr) * DECAY)
    w = w - tl.load(size) * (m / (tl.sqrt_rn(v) * tl.load(root) + EPS))
    tl.store(weights + at, w, mask=here)
    if SHADOW:
        tl.store(shadow + at, _rounded(w, m, DITHER), mask=here)
    tl.store(first + at, m, mask=here)
    tl.store(second + at, v, mask=here)


@triton.jit
def _adam(
    weights: tl.tensor,
    shadow: tl.tensor,
    gradient: tl.tensor,
    first: tl.tensor,
    second: tl.tensor,
    owners: tl.tensor,
    step: tl.tensor,
    lr: tl.tensor,
    size: tl.tensor,
    root: tl.tensor,
    count: tl.tensor,
    BETA1: tl.constexpr,
    BETA2: tl.constexpr,
    EPS: tl.constexpr,
    DECAY: tl.constexpr,
    SHADOW: tl.constexpr,
    DITHER: tl.constexpr,
    WIDTH: tl.constexpr,
    PIECE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """See :func:`adam_`; WIDTH is that of a table's rows, or 0 where there is none."""
    for block in range(tl.program_id(0), tl.cdiv(count, BLOCK), tl.num_programs(0)):
        if WIDTH > 0:
            # Two dimensions, so that whether a piece is updated is seen to hold for all of it: loads stay wide.
            piece = tl.full((), BLOCK // PIECE, tl.int64) * block + tl.arange(0, BLOCK // PIECE)
            inside = piece < count // PIECE
            inside = inside & (tl.load(owners + piece // (WIDTH // PIECE), mask=inside, other=0) == _NOBODY)
            at = piece[:, None] * PIECE + tl.arange(0, PIECE)[None, :]
            here = inside[:, None] & (tl.arange(0, PIECE)[None, :] >= 0)
        else:
            at = tl.full((), BLOCK, tl.int64) * block + tl.arange(0, BLOCK)
            here = at < count
        _update(
            weights, shadow, gradient, first, second, at, here, step, lr, size, root,
            BETA1, BETA2, EPS, DECAY, SHADOW, DITHER,
        )  # fmt: skip


@triton.jit
def _adam_rows(
    weights: tl.tensor,
    shadow: tl.tensor,
    gradient: tl.tensor,
    first: tl.tensor,
    second: tl.tensor,
    owners: tl.tensor,
    ids: tl.tensor,
    step: tl.tensor,
    lr: tl.tensor,
    size: tl.tensor,
    root: tl.tensor,
    BETA1: tl.constexpr,
    BETA2: tl.constexpr,
    EPS: tl.constexpr,
    DECAY: tl.constexpr,
    SHADOW: tl.constexpr,
    DITHER: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """See :func:`adam_rows_`: a program for each token."""
    row = tl.load(ids + tl.program_id(0))
    if tl.load(owners + row) == tl.program_id(0):
        column = tl.arange(0, BLOCK)
        _update(
            weights, shadow, gradient, first, second, row * WIDTH + column, column < WIDTH, step, lr, size, root,
            BETA1, BETA2, EPS, DECAY, SHADOW, DITHER,
        )  # fmt: skip


__all__ = ["Rows", "adam_", "adam_rows_", "on", "piece"]
