"""Kernels for gradients: what can be seen of them without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from interpreted import check_interpreted
from ttft_bench.engine.compiled.direct import is_small

HERE = Path(__file__).resolve().parent


def test_kernels_compute_what_fp64_does():
    check_interpreted(HERE / "interpreted_kernels.py")


def compiled_for_a_gpu(kernel, tiles, fixed, folder, monkeypatch):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from ttft_bench.engine.compiled import kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(folder))
    fixed = fixed | {"M": tiles.m, "N": tiles.n, "K": tiles.k}
    kinds = dict.fromkeys(("m", "n", "k", "tokens"), "i32")
    signature = {name: "constexpr" if name in fixed else kinds.get(name, "*bf16") for name in kernel.arg_names}
    even = {(index,): [["tt.divisibility", 16]] for index, kind in enumerate(signature.values()) if kind != "constexpr"}
    source = ASTSource(fn=kernel, signature=signature, constexprs=fixed, attrs=even)
    options = {"num_warps": tiles.warps, "num_stages": tiles.stages} | kernels.OPTIONS
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


@pytest.mark.parametrize("of", [(576, 960), (3072, 576), False, True], ids=["few", "many", "inputs", "conv1d-inputs"])
def test_products_compile_for_a_gpu_and_leave_room_on_a_multiprocessor(of, tmp_path, monkeypatch):
    pytest.importorskip("triton", reason="the kernels need triton: pip install triton (Linux)")
    from ttft_bench.engine.compiled import kernels

    if isinstance(of, bool):
        what = kernels._input_gradient, kernels.INPUTS, {"TRANSPOSED": of}
    else:
        what = kernels._gradient, kernels.choose_tiles(*of), {}
    made = compiled_for_a_gpu(*what, tmp_path, monkeypatch)
    assert "wgmma" in made.asm["ptx"] and "cp.async" in made.asm["ptx"]
    # A multiprocessor of compute capability 9.0 has 227 KiB that blocks can share, of 1 KiB more each.
    assert 2 * (made.metadata.shared + 1024) <= 227 * 1024, "two blocks fit"


def test_small_products_are_those_of_layers_as_wide_as_their_inputs():
    assert is_small(512, 576, 576) and is_small(512, 576, 960) and is_small(128, 576, 960)
    assert not is_small(512, 576, 3072), "too many terms: the library's blocks share what they load"
    assert not is_small(512, 1536, 576) and not is_small(1024, 768, 768), "too many blocks"
    assert not is_small(512, 576, 49152)


def test_what_fills_the_device_is_left_to_the_library():
    pytest.importorskip("triton", reason="the kernels need triton: pip install triton (Linux)")
    from ttft_bench.engine.compiled import kernels

    assert kernels.choose_tiles(49152, 576) is None and kernels.choose_tiles(3072, 768) is None
    assert kernels.choose_tiles(768, 2304).n == 128 and kernels.choose_tiles(576, 576).n == 64
