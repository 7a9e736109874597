"""Checks of the kernels for gradients, run by ``test_kernels.py`` in a process of their own.

triton decides when a kernel is defined whether it will be compiled or interpreted, so this is not collected with
the rest. On a machine with a GPU the kernels are compiled and run there.
"""

from __future__ import annotations

import os

import pytest
import torch

from ttft_bench.engine.compiled import kernels

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
#: triton's interpreter cannot multiply bf16.
DTYPE = torch.float32 if DEVICE == "cpu" else torch.bfloat16
ROUNDING = 1e-6 if DEVICE == "cpu" else 2**-8


@pytest.fixture(autouse=True)
def _what_can_be_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "DTYPE", DTYPE)


def numbers(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).to(DEVICE, dtype)


@pytest.mark.parametrize("tiles", [kernels.Tiles(128, 64, 64, 4, 4), kernels.Tiles(128, 128, 32, 4, 4)], ids=str)
@pytest.mark.parametrize(("m", "n"), [(64, 64), (192, 80), (16, 130), (257, 129)])
def test_a_product_is_that_of_fp64(monkeypatch: pytest.MonkeyPatch, tiles: kernels.Tiles, m: int, n: int) -> None:
    monkeypatch.setattr(kernels, "choose_tiles", lambda m, n: tiles)
    left, right = numbers(128, m, dtype=DTYPE), numbers(128, n, dtype=DTYPE)
    out = torch.full((m + 1, n), float("nan"), dtype=DTYPE, device=DEVICE)
    assert kernels.gradient_(out[:-1], left, right)
    assert out[-1].isnan().all(), "nothing beyond the output is written"
    exact = left.double().t() @ right.double()
    assert (out[:-1].double() - exact).abs().max() <= ROUNDING * exact.abs().max()
    assert (out[:-1].double() - exact).norm() <= ROUNDING * exact.norm()


def test_what_is_not_for_these_kernels_is_left_alone() -> None:
    out = torch.zeros(64, 64, device=DEVICE, dtype=DTYPE)
    left = right = numbers(128, 64, dtype=DTYPE)
    assert kernels.gradient_(out, left, right)
    out.zero_()
    assert not kernels.gradient_(out, left.half(), right.half())
    assert not kernels.gradient_(out, left[:100], right[:100]), "tokens come in whole blocks"
    assert not kernels.gradient_(out, numbers(64, 128, dtype=DTYPE).t(), right)
    assert not out.any()


@pytest.mark.parametrize("transposed", [False, True], ids=["linear", "conv1d"])
@pytest.mark.parametrize(("rows", "tokens", "width", "terms"), [(1, 64, 64, 64), (2, 35, 80, 128), (1, 130, 24, 192)])
def test_the_gradient_of_an_input_is_that_of_fp64(
    transposed: bool, rows: int, tokens: int, width: int, terms: int
) -> None:
    above, weight = numbers(rows, tokens, terms, dtype=DTYPE), numbers(terms, width, dtype=DTYPE)
    found = kernels.input_gradient(above, weight.t().contiguous() if transposed else weight, transposed)
    exact = above.double() @ weight.double()
    assert found is not None and found.shape == exact.shape and found.dtype == DTYPE
    assert (found.double() - exact).norm() <= ROUNDING * exact.norm()
    assert kernels.input_gradient(above[..., :60], weight[:60], False) is None, "terms come in whole blocks"
    assert kernels.input_gradient(above.half(), weight.half(), False) is None
    assert kernels.input_gradient(above.transpose(0, 1), weight, False) is None or rows == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("tokens", "columns"), [(256, 64), (300, 37), (5, 16), (1024, 40)])
@pytest.mark.parametrize("of", ["both", "weight", "bias"])
def test_sums_are_those_of_fp64(dtype: torch.dtype, tokens: int, columns: int, of: str) -> None:
    above, x = numbers(tokens, columns, dtype=dtype), numbers(tokens + 1, columns)[1:]
    weight, bias = (torch.full((columns + 1,), float("nan"), device=DEVICE) for _ in range(2))
    to_weight = weight[:-1] if of != "bias" else None
    to_bias = bias[:-1] if of != "weight" else None
    kernels.sums_(above, x if of != "bias" else None, to_weight, to_bias)
    wanted = {"weight": (above.double() * x.double()).sum(0), "bias": above.double().sum(0)}
    for name, found in (("weight", weight), ("bias", bias)):
        if of in (name, "both"):
            torch.testing.assert_close(found[:-1].double(), wanted[name], rtol=1e-5, atol=1e-4)
            assert found[-1].isnan()
        else:
            assert found.isnan().all(), "what was not asked for is left alone"


def test_a_bias_in_half_precision_is_rounded_once() -> None:
    above, bias = numbers(256, 32, dtype=torch.bfloat16), torch.zeros(32, device=DEVICE, dtype=torch.bfloat16)
    kernels.sums_(above, None, None, bias)
    torch.testing.assert_close(bias.double(), above.double().sum(0), rtol=2**-7, atol=1e-4)
