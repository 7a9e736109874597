"""From a product to rotated heads, and back, as one Triton kernel each: see :mod:`ttft_bench.engine.compiled.heads`.

Importing this needs triton, which comes with PyTorch for CUDA.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ttft_bench.engine.compiled.narrow import OPTIONS, on

#: Tokens of one head that a thread block takes, and its warps.
TOKENS, WARPS = 32, 4


def to_heads(product: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, queries: int, keys: int) -> torch.Tensor:
    """See :func:`ttft_bench.engine.compiled.heads.to_heads`."""
    (rows, length, columns), width = product.shape, cos.shape[-1]
    out = product.new_empty(3, rows, length, queries, width)
    product, cos, sin = product.contiguous(), cos.contiguous(), sin.contiguous()
    with on(product):
        _to_heads[(triton.cdiv(rows * length, TOKENS), 3 * queries)](
            *(product, cos, sin, out, rows * length, cos.shape[0] * length, columns),
            **{"QUERIES": queries, "KEYS": keys, **_sizes(width)},
            num_warps=WARPS,
            **OPTIONS,
        )
    return out


def from_heads(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, keys: int
) -> torch.Tensor:
    """See :func:`ttft_bench.engine.compiled.heads.from_heads`."""
    rows, queries, length, width = query.shape
    columns = (queries + 2 * keys) * width
    out = query.new_empty(rows, length, columns)
    query, key, value = (part if part.stride(-1) == 1 else part.contiguous() for part in (query, key, value))
    cos, sin = cos.contiguous(), sin.contiguous()
    with on(query):
        _from_heads[(triton.cdiv(rows * length, TOKENS), queries + 2 * keys)](
            *(query, *query.stride()[:3], key, *key.stride()[:3], value, *value.stride()[:3]),
            *(cos, sin, out, length, rows * length, cos.shape[0] * length, columns),
            **{"QUERIES": queries, "KEYS": keys, **_sizes(width)},
            num_warps=WARPS,
            **OPTIONS,
        )
    return out


def _sizes(width: int) -> dict[str, int]:
    return {"HALF": width // 2, "LANES": triton.next_power_of_2(width // 2), "TOKENS": TOKENS}


@triton.jit
def _to_heads(
    product: tl.tensor,
    cos: tl.tensor,
    sin: tl.tensor,
    out: tl.tensor,
    tokens: tl.tensor,
    positions: tl.tensor,
    columns: tl.tensor,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    HALF: tl.constexpr,
    LANES: tl.constexpr,
    TOKENS: tl.constexpr,
) -> None:
    """See :func:`to_heads`: a program for some tokens of one head of queries, keys or values."""
    token = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    kind = tl.program_id(1) // QUERIES  # queries, keys, values
    head = tl.program_id(1) % QUERIES
    shared = QUERIES // KEYS
    source = tl.where(kind == 0, head, QUERIES + (kind - 1) * KEYS + head // shared)
    lane = tl.arange(0, LANES)
    here = (token[:, None] < tokens) & (lane[None, :] < HALF)
    at = product + token[:, None].to(tl.int64) * columns + source * (2 * HALF) + lane[None, :]
    first = tl.load(at, mask=here, other=0.0).to(tl.float32)
    second = tl.load(at + HALF, mask=here, other=0.0).to(tl.float32)
    if kind < 2:
        table = (token[:, None] % positions) * (2 * HALF) + lane[None, :]
        one = first * tl.load(cos + table, mask=here, other=0.0) - second * tl.load(sin + table, mask=here, other=0.0)
        table += HALF
        two = second * tl.load(cos + table, mask=here, other=0.0) + first * tl.load(sin + table, mask=here, other=0.0)
        first, second = one, two
    row = (kind.to(tl.int64) * tokens + token[:, None]) * QUERIES + head
    to = out + row * (2 * HALF) + lane[None, :]
    tl.store(to, first.to(out.dtype.element_ty), mask=here)
    tl.store(to + HALF, second.to(out.dtype.element_ty), mask=here)


@triton.jit
def _from_heads(
    query: tl.tensor,
    query_row: tl.tensor,
    query_head: tl.tensor,
    query_token: tl.tensor,
    key: tl.tensor,
    key_row: tl.tensor,
    key_head: tl.tensor,
    key_token: tl.tensor,
    value: tl.tensor,
    value_row: tl.tensor,
    value_head: tl.tensor,
    value_token: tl.tensor,
    cos: tl.tensor,
    sin: tl.tensor,
    out: tl.tensor,
    length: tl.tensor,
    tokens: tl.tensor,
    positions: tl.tensor,
    columns: tl.tensor,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    HALF: tl.constexpr,
    LANES: tl.constexpr,
    TOKENS: tl.constexpr,
) -> None:
    """See :func:`from_heads`: a program for some tokens of one head of the product."""
    token = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    slot = tl.program_id(1)
    row, place = (token // length).to(tl.int64)[:, None], (token % length)[:, None]
    lane = tl.arange(0, LANES)[None, :]
    here = (token[:, None] < tokens) & (lane < HALF)
    first = tl.zeros((TOKENS, LANES), tl.float32)
    second = tl.zeros((TOKENS, LANES), tl.float32)
    if slot < QUERIES:
        at = query + row * query_row + slot * query_head + place * query_token + lane
        first += tl.load(at, mask=here, other=0.0).to(tl.float32)
        second += tl.load(at + HALF, mask=here, other=0.0).to(tl.float32)
    elif slot < QUERIES + KEYS:
        for index in tl.static_range(QUERIES // KEYS):
            head = (slot - QUERIES) * (QUERIES // KEYS) + index
            at = key + row * key_row + head * key_head + place * key_token + lane
            first += tl.load(at, mask=here, other=0.0).to(tl.float32)
            second += tl.load(at + HALF, mask=here, other=0.0).to(tl.float32)
    else:
        for index in tl.static_range(QUERIES // KEYS):
            head = (slot - QUERIES - KEYS) * (QUERIES // KEYS) + index
            at = value + row * value_row + head * value_head + place * value_token + lane
            first += tl.load(at, mask=here, other=0.0).to(tl.float32)
            second += tl.load(at + HALF, mask=here, other=0.0).to(tl.float32)
    if slot < QUERIES + KEYS:
        table = (token[:, None] % positions) * (2 * HALF) + lane
        other = table + HALF
        one = first * tl.load(cos + table, mask=here, other=0.0) + second * tl.load(sin + other, mask=here, other=0.0)
        two = second * tl.load(cos + other, mask=here, other=0.0) - first * tl.load(sin + table, mask=here, other=0.0)
        first, second = one, two
    to = out + token[:, None].to(tl.int64) * columns + slot * (2 * HALF) + lane
    tl.store(to, first.to(out.dtype.element_ty), mask=here)
    tl.store(to + HALF, second.to(out.dtype.element_ty), mask=here)


__all__ = ["from_heads", "to_heads"]
