"""Checks of the kernels between a product and heads, run by ``test_heads.py`` in a process of their own.

triton decides when a kernel is defined whether it will be compiled or interpreted, so this is not collected with
the rest. On a machine with a GPU the kernels are compiled and run there.
"""

from __future__ import annotations

import os

import pytest
import torch

from ttft_bench.engine.compiled import heads, rotations

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
#: rows, length, query heads, key heads, width: whole blocks and parts of them, halves that are no powers of two.
SHAPES = [(1, 64, 3, 1, 16), (2, 37, 4, 2, 24), (2, 5, 2, 2, 2), (1, 33, 6, 3, 64)]


def numbers(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).to(DEVICE, dtype)


def tables(rows: int, length: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Any numbers: nothing is said about what cosines and sines of the two halves have in common."""
    return numbers(rows, length, width), numbers(rows, length + 1, width)[:, 1:]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("own", [False, True], ids=["one-table", "a-table-a-row"])
@pytest.mark.parametrize(("rows", "length", "queries", "keys", "width"), SHAPES)
def test_heads_are_those_of_the_plain_form(
    dtype: torch.dtype, own: bool, rows: int, length: int, queries: int, keys: int, width: int
) -> None:
    product = numbers(rows, length, (queries + 2 * keys) * width, dtype=dtype)
    cos, sin = tables(rows if own else 1, length, width)
    found = rotations.to_heads(product, cos, sin, queries, keys)
    wanted = heads.to_heads(product.double(), cos.double(), sin.double(), queries, keys).to(dtype)
    assert found.shape == (3, rows, length, queries, width) and found.dtype == dtype
    close = {"rtol": 2**-7, "atol": 1e-5} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(found, wanted, **close)
    values = product.unflatten(-1, (-1, width))[:, :, queries + keys :].repeat_interleave(queries // keys, 2)
    assert torch.equal(found[2], values), "values keep their bits"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("own", [False, True], ids=["one-table", "a-table-a-row"])
@pytest.mark.parametrize("by", ["heads", "tokens", "strides of two"])
@pytest.mark.parametrize(("rows", "length", "queries", "keys", "width"), SHAPES)
def test_the_way_back_is_that_of_the_plain_form(
    dtype: torch.dtype, own: bool, by: str, rows: int, length: int, queries: int, keys: int, width: int
) -> None:
    parts = [numbers(rows, queries, length + extra, width, dtype=dtype)[:, :, extra:] for extra in range(3)]
    if by == "tokens":
        parts = [part.transpose(1, 2).contiguous().transpose(1, 2) for part in parts]
    elif by == "strides of two":
        parts = [torch.stack((part, part), -1)[..., 0] for part in parts]
    cos, sin = tables(rows if own else 1, length, width)
    found = rotations.from_heads(*parts, cos, sin, keys)
    wanted = heads.from_heads(*(part.double() for part in parts), cos.double(), sin.double(), keys).to(dtype)
    assert found.shape == (rows, length, (queries + 2 * keys) * width) and found.dtype == dtype
    close = {"rtol": 2**-7, "atol": 1e-5} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(found, wanted, **close)
