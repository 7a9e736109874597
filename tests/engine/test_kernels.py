"""Kernels for gradients: what can be seen of them without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from interpreted import check_interpreted

HERE = Path(__file__).resolve().parent


def test_kernels_compute_what_fp64_does():
    check_interpreted(HERE / "interpreted_kernels.py")


@pytest.mark.parametrize(("m", "n"), [(576, 960), (3072, 576)], ids=["few", "many"])
def test_products_compile_for_a_gpu_and_leave_room_on_a_multiprocessor(m, n, tmp_path, monkeypatch):
    triton = pytest.importorskip("triton", reason="the kernels need triton: pip install triton (Linux)")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from ttft_bench.engine.compiled import kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    tiles = kernels.choose_tiles(m, n)
    kernel = kernels._gradient
    fixed = {"M": tiles.m, "N": tiles.n, "K": tiles.k}
    kinds = dict.fromkeys(("m", "n", "tokens"), "i32")
    signature = {name: "constexpr" if name in fixed else kinds.get(name, "*bf16") for name in kernel.arg_names}
    even = {(index,): [["tt.divisibility", 16]] for index, kind in enumerate(signature.values()) if kind != "constexpr"}
    source = ASTSource(fn=kernel, signature=signature, constexprs=fixed, attrs=even)
    options = {"num_warps": tiles.warps, "num_stages": tiles.stages} | kernels.OPTIONS
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    assert "wgmma" in made.asm["ptx"] and "cp.async" in made.asm["ptx"]
    # A multiprocessor of compute capability 9.0 has 227 KiB that blocks can share, of 1 KiB more each.
    assert 2 * (made.metadata.shared + 1024) <= 227 * 1024, "two blocks fit"


def test_what_fills_the_device_is_left_to_the_library():
    pytest.importorskip("triton", reason="the kernels need triton: pip install triton (Linux)")
    from ttft_bench.engine.compiled import kernels

    assert kernels.choose_tiles(49152, 576) is None and kernels.choose_tiles(3072, 768) is None
    assert kernels.choose_tiles(768, 2304).n == 128 and kernels.choose_tiles(576, 576).n == 64
