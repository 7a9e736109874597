"""Gradients of linear layers and norms, in kernels that leave room for what is at work beside them.

A library's products are made for large matrices: a thread block takes a whole multiprocessor, whatever it uses of
it, and often waits until several are free together. Here several fit on one, beside each other and beside others'
blocks. Sums over tokens are one kernel where the compiler makes two.

Importing this needs triton, which comes with PyTorch for CUDA.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from ttft_bench.engine.compiled.narrow import OPTIONS, on

#: An H200's multiprocessors. Where an output has more blocks of 128 by 128, the largest here, the library's kernels are
#: as fast with several at once, and faster alone; where it has less than a third as many, smaller blocks are better.
FEW = 132
#: What is multiplied.
DTYPE = torch.bfloat16
#: Tokens and columns that a thread block sums at once, and its warps.
ROWS, COLUMNS, WARPS = 256, 16, 8


@dataclass(frozen=True)
class Tiles:
    """How a product is cut up.

    Attributes:
        m: rows of the output that a thread block computes.
        n: columns.
        k: terms of its sums that it takes at once.
        warps: of a block.
        stages: loads under way.
    """

    m: int
    n: int
    k: int
    warps: int
    stages: int


#: Of the gradient of a layer's input. With fewer loads under way blocks wait longer for memory that others keep busy.
INPUTS = Tiles(64, 64, 64, 4, 6)


def choose_tiles(m: int, n: int) -> Tiles | None:
    """For an output of that size; None for one that is left to the library.

    The part ``gradients`` of benchmarks/engine.py compares the two, alone and several at once.
    """
    large = triton.cdiv(m, 128) * triton.cdiv(n, 128)
    if large > FEW:
        return None
    return Tiles(128, 64, 64, 4, 4) if large < FEW // 3 else Tiles(128, 128, 32, 4, 4)


def gradient_(out: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> bool:
    """Make ``out`` the product ``left^T right`` of bf16 matrices, summed in fp32; else, doing nothing, return False.

    Args:
        out: (m, n), contiguous.
        left: (tokens, m), contiguous.
        right: (tokens, n), contiguous.
    """
    (tokens, m), n = left.shape, right.shape[1]
    tiles = choose_tiles(m, n)
    fits = all(tensor.dtype == DTYPE and tensor.is_contiguous() for tensor in (out, left, right))
    if tiles is None or not fits or tokens % tiles.k:
        return False
    with on(left):
        _gradient[(triton.cdiv(m, tiles.m) * triton.cdiv(n, tiles.n),)](
            *(out, left, right, m, n, tokens),
            **{"M": tiles.m, "N": tiles.n, "K": tiles.k},
            num_warps=tiles.warps,
            num_stages=tiles.stages,
            **OPTIONS,
        )
    return True


def input_gradient(above: torch.Tensor, weight: torch.Tensor, transposed: bool) -> torch.Tensor | None:
    """The gradient of a layer's input, ``above`` times the weight in bf16, summed in fp32; None for what does not fit.

    Args:
        above: (..., out), the gradient of the layer's output.
        weight: (out, in), or (in, out) if ``transposed``.
        transposed: how the weight lies.
    """
    n, k = weight.shape if transposed else weight.shape[::-1]
    m = above.numel() // k
    fits = all(tensor.dtype == DTYPE and tensor.is_contiguous() for tensor in (above, weight))
    if not fits or k % INPUTS.k:
        return None
    out = above.new_empty(*above.shape[:-1], n)
    with on(above):
        _input_gradient[(triton.cdiv(m, INPUTS.m) * triton.cdiv(n, INPUTS.n),)](
            *(out, above, weight, m, n, k),
            **{"TRANSPOSED": transposed, "M": INPUTS.m, "N": INPUTS.n, "K": INPUTS.k},
            num_warps=INPUTS.warps,
            num_stages=INPUTS.stages,
            **OPTIONS,
        )
    return out


def sums_(above: torch.Tensor, x: torch.Tensor | None, weight: torch.Tensor | None, bias: torch.Tensor | None) -> None:
    """Sum over tokens, in one kernel and always in the same order, in fp32.

    Args:
        above: (tokens, columns), contiguous.
        x: of that shape, contiguous; None without ``weight``.
        weight: (columns,): becomes the sum of ``above * x``.
        bias: (columns,): becomes the sum of ``above``.
    """
    tokens, columns = above.shape
    assert x is None or x.shape == above.shape
    assert all(place is None or place.shape == (columns,) for place in (weight, bias))
    with on(above):
        _sums[(triton.cdiv(columns, COLUMNS),)](
            *(above, x, weight, bias, tokens, columns),
            **{"WEIGHT": weight is not None, "BIAS": bias is not None, "ROWS": ROWS, "COLUMNS": COLUMNS},
            num_warps=WARPS,
            **OPTIONS,
        )


@triton.jit
def _gradient(
    out: tl.tensor,
    left: tl.tensor,
    right: tl.tensor,
    m: tl.tensor,
    n: tl.tensor,
    tokens: tl.tensor,
    M: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
) -> None:
    """See :func:`gradient_`: a program for a tile of the output."""
    across = tl.cdiv(n, N)
    row = (tl.program_id(0) // across) * M + tl.arange(0, M)
    column = (tl.program_id(0) % across) * N + tl.arange(0, N)
    token = tl.arange(0, K)
    at_left = left + token[:, None] * m + row[None, :]
    at_right = right + token[:, None] * n + column[None, :]
    total = tl.zeros((M, N), tl.float32)
    for _ in range(0, tokens, K):
        a = tl.load(at_left, mask=row[None, :] < m, other=0.0)
        b = tl.load(at_right, mask=column[None, :] < n, other=0.0)
        total = tl.dot(tl.trans(a), b, total)
        at_left += K * m
        at_right += K * n
    here = (row[:, None] < m) & (column[None, :] < n)
    tl.store(out + row[:, None] * n + column[None, :], total.to(out.dtype.element_ty), mask=here)


@triton.jit
def _input_gradient(
    out: tl.tensor,
    above: tl.tensor,
    weight: tl.tensor,
    m: tl.tensor,
    n: tl.tensor,
    k: tl.tensor,
    TRANSPOSED: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
) -> None:
    """See :func:`input_gradient`: a program for a tile of the output."""
    across = tl.cdiv(n, N)
    row = (tl.program_id(0) // across) * M + tl.arange(0, M)
    column = (tl.program_id(0) % across) * N + tl.arange(0, N)
    term = tl.arange(0, K)
    at_above = above + row[:, None] * k + term[None, :]
    if TRANSPOSED:
        at_weight = weight + column[None, :] * k + term[:, None]
    else:
        at_weight = weight + term[:, None] * n + column[None, :]
    total = tl.zeros((M, N), tl.float32)
    for _ in range(0, k, K):
        a = tl.load(at_above, mask=row[:, None] < m, other=0.0)
        b = tl.load(at_weight, mask=column[None, :] < n, other=0.0)
        total = tl.dot(a, b, total)
        at_above += K
        at_weight += K if TRANSPOSED else K * n
    here = (row[:, None] < m) & (column[None, :] < n)
    tl.store(out + row[:, None] * n + column[None, :], total.to(out.dtype.element_ty), mask=here)


@triton.jit
def _sums(
    above: tl.tensor,
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    tokens: tl.tensor,
    columns: tl.tensor,
    WEIGHT: tl.constexpr,
    BIAS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """See :func:`sums_`: a program for some columns."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    to_weight = tl.zeros((ROWS, COLUMNS), tl.float32)
    to_bias = tl.zeros((ROWS, COLUMNS), tl.float32)
    for first in range(0, tokens, ROWS):
        row = first + tl.arange(0, ROWS)
        at = row[:, None].to(tl.int64) * columns + column[None, :]
        here = (row[:, None] < tokens) & (column[None, :] < columns)
        gradient = tl.load(above + at, mask=here, other=0.0).to(tl.float32)
        if WEIGHT:
            to_weight += gradient * tl.load(x + at, mask=here, other=0.0).to(tl.float32)
        if BIAS:
            to_bias += gradient
    if WEIGHT:
        tl.store(weight + column, tl.sum(to_weight, 0), mask=column < columns)
    if BIAS:
        tl.store(bias + column, tl.sum(to_bias, 0), mask=column < columns)


__all__ = ["Tiles", "choose_tiles", "gradient_", "input_gradient", "sums_"]
