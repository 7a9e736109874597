"""The update in few thread blocks, and gradients beside the backward pass: what can be seen without a GPU."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from interpreted import check_interpreted
from ttft_bench.engine.compiled.direct import Sink

HERE = Path(__file__).resolve().parent


def test_narrow_kernels_do_what_the_rules_say():
    check_interpreted(HERE / "interpreted_narrow.py")


@pytest.mark.parametrize("width", [0, 576, 768])
def test_narrow_kernels_compile_for_a_gpu_and_load_wide(width, tmp_path, monkeypatch):
    triton = pytest.importorskip("triton", reason="the kernels need triton: pip install triton (Linux)")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from ttft_bench.engine.compiled import narrow

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = narrow._adam
    fixed = {"BETA1": 0.9, "BETA2": 0.999, "EPS": 1e-8, "DECAY": 0.0, "SHADOW": True, "DITHER": True, "WIDTH": width}
    fixed |= {"PIECE": narrow.piece(width), "BLOCK": narrow.BLOCK}
    kinds = {"shadow": "*bf16", "gradient": "*bf16", "owners": "*i32", "count": "i32"}
    signature = {name: "constexpr" if name in fixed else kinds.get(name, "*fp32") for name in kernel.arg_names}
    # As at a launch, where buffers and spans begin at multiples of 64 elements.
    even = {(index,): [["tt.divisibility", 16]] for index, kind in enumerate(signature.values()) if kind != "constexpr"}
    source = ASTSource(fn=kernel, signature=signature, constexprs=fixed, attrs=even)
    made = triton.compile(
        source, target=GPUTarget("cuda", 90, 32), options={"num_warps": narrow.WARPS} | narrow.OPTIONS
    )
    code = made.asm["ptx"]
    assert "ld.global.v4.b32" in code and "st.global.v4.b32" in code, "16 bytes at once, also of a table's rows"


class _Stream:
    """Notes who waits for whom."""

    device = torch.device("cpu")

    def __init__(self, name, waits):
        self.name, self._waits = name, waits

    def wait_stream(self, other):
        self._waits.append((self.name, other.name))


def test_what_a_stream_of_gradients_reads_is_held_until_it_is_waited_for(monkeypatch):
    waits = []
    main, aside = _Stream("main", waits), _Stream("aside", waits)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: main)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    weight, bias = torch.zeros(3, 4), torch.zeros(3)
    sink = Sink([weight, weight.t().contiguous()], [bias, None])
    sink.stream = aside
    above, x = torch.rand(5, 3), torch.rand(5, 4)
    heard = []
    sink.listener = heard.append
    references = sys.getrefcount(above)
    sink.put(0, above, x, False)
    sink.put(1, above, x, True)
    torch.testing.assert_close(weight, above.t() @ x)
    torch.testing.assert_close(sink.targets[1], x.t() @ above)
    torch.testing.assert_close(bias, above.sum(0))
    assert heard == [0, 1] and waits == [("aside", "main")] * 2
    assert sys.getrefcount(above) == references + 2
    sink.join()
    assert waits[2:] == [("main", "aside")] and sys.getrefcount(above) == references
    sink.join()
    assert len(waits) == 3, "a capture that has not reached the stream must not wait for it"


def test_what_norms_hand_over_waits_for_the_next_layer_and_is_summed_without_a_tape(monkeypatch):
    waits = []
    main, aside = _Stream("main", waits), _Stream("aside", waits)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: main)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    sink = Sink([torch.zeros(3, 4), torch.zeros(3), torch.zeros(3)], [None, torch.zeros(3), None])
    sink.stream = aside
    above, x = torch.rand(5, 3, requires_grad=True), torch.rand(5, 3)
    sink.scale(1, above, x)
    assert waits == [] and not sink.targets[1].any()
    sink.put(0, above, torch.rand(5, 4), False)
    assert waits == [("aside", "main")]
    torch.testing.assert_close(sink.targets[1], (above * x).sum(0).detach())
    torch.testing.assert_close(sink.biases[1], above.sum(0).detach())
    sink.scale(2, above, x)
    assert not sink.targets[2].any()
    sink.join()
    torch.testing.assert_close(sink.targets[2], (above * x).sum(0).detach())
    assert waits == [("aside", "main")] * 2 + [("main", "aside")], "none is left behind at the end"
    sink.scale(2, above, x)
    sink.join(failed=True)
    assert not sink._waiting and len(waits) == 4, "of a pass that broke off nothing more is queued"


def test_kernels_that_decline_leave_a_product_to_the_library():
    class Kernels:
        summed = 0

        @staticmethod
        def gradient_(out, left, right):
            return out.shape[0] == 3 and bool(out.copy_(left.t() @ right).numel())

        def sums_(self, above, x, weight, bias):
            self.summed += above.is_contiguous() and (x is None or x.is_contiguous())

        @staticmethod
        def input_gradient(above, weight, transposed):
            return None if transposed else torch.full((*above.shape[:-1], weight.shape[1]), 7.0)

    above, x = torch.rand(3, 5).t(), torch.rand(5, 4)
    sink = Sink([torch.zeros(3, 4), torch.zeros(4, 3)], [torch.zeros(3), None])
    sink.kernels = Kernels()
    sink.put(0, above, x, False)
    sink.put(1, above, x, True)
    for found in (sink.targets[0], sink.targets[1].t()):
        torch.testing.assert_close(found, above.t() @ x)
    sink.scale(0, above, torch.rand(3, 5).t())
    assert sink.kernels.summed == 2
    gradient, weight = torch.rand(2, 5, 3), torch.rand(3, 4)
    down = torch.ops.ttft_bench.input_gradient
    assert (down(sink.handle, gradient, weight, False) == 7).all()
    torch.testing.assert_close(down(sink.handle, gradient, weight.t().contiguous(), True), gradient @ weight)
    sink.chain = False
    torch.testing.assert_close(down(sink.handle, gradient, weight, False), gradient @ weight)
