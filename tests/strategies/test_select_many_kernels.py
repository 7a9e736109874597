"""``select_many`` on a GPU: the kernels, the way there and back, and what happens without them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from interpreted import check_interpreted
from many import assert_equal, both, problem
from ttft_bench.registry import build_selector
from ttft_strategies import _fused, _staging
from ttft_strategies._arrays import TorchArrays

HERE = Path(__file__).resolve().parent


def test_the_kernels_answer_as_the_loop_does() -> None:
    check_interpreted(HERE / "interpreted_kernels.py")


def test_the_kernels_compile_for_a_gpu_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interpreting says nothing about what the compiler makes of a kernel."""
    triton = pytest.importorskip("triton", reason="the kernels need triton: pip install triton (Linux)")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from ttft_strategies import _kernels_triton, _kernels_triton_round

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for kernel, shape, warps in (
        (_kernels_triton.frank_wolfe, {"BLOCK": 256}, _fused.PLAN.solve_warps),
        (_kernels_triton.sift, {"REPEATS": True, "TARGETS": 1, "BLOCK": 256, "ROWS": 8}, _fused.PLAN.sift_warps),
        (_kernels_triton_round.geometry, {"M": 64, "BAND": 32}, _fused.PLAN.round_warps),
    ):
        numbers = {"size", "limit", "max_iter", "width", "room", "many", "budget"}
        signature = {
            name: "constexpr" if name in shape else "i32" if name in numbers else "*i32" if name == "items" else "*fp64"
            for name in kernel.arg_names
        }
        source = ASTSource(fn=kernel, signature=signature, constexprs=shape)
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps, **_fused._OPTIONS})
        code = made.asm["ptx"]
        assert ".f64" in code and ".f32" not in code  # nothing is rounded to single precision on the way


class _Event:
    def synchronize(self) -> None:
        pass


class _Stream:
    def record_event(self) -> _Event:
        return _Event()


class _StandIn:
    """torch, with a GPU that is the processor."""

    def __init__(self) -> None:
        import torch

        self.cuda = SimpleNamespace(stream=self._stream, synchronize=lambda _: None)
        self._torch = torch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torch, name)

    @contextmanager
    def _stream(self, stream: _Stream) -> Iterator[None]:
        yield

    def empty(self, *arguments: Any, pin_memory: bool = False, device: Any = None, **keywords: Any) -> Any:
        return self._torch.empty(*arguments, **keywords)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(_staging, "_streams", lambda _, parts: [_Stream() for _ in range(parts)])
    monkeypatch.setattr(_staging, "_PINNED", _staging._Pinned())
    arrays: Any = TorchArrays("cpu")
    arrays.module, arrays.device = _StandIn(), SimpleNamespace(type="cuda")
    return arrays


@pytest.mark.parametrize("count", [1, 2, 7, 40])
@pytest.mark.parametrize("plan", [_staging.Plan(), _staging.Plan(parts=3, least=2, threads=5)])
def test_every_row_arrives_once_and_in_order(gpu: Any, count: int, plan: _staging.Plan) -> None:
    rng = np.random.default_rng(0)
    blocks = [(rng.standard_normal((5, 4), dtype=np.float32).T, np.float32([[index] * 5])) for index in range(count)]
    marks: list[str] = []
    back = _staging.answers_in_parts(blocks, gpu, lambda rows: rows.double().flatten(1), plan, marks.append)
    answers = np.concatenate(list(back))
    np.testing.assert_array_equal(answers, [np.concatenate(block).ravel() for block in blocks])
    assert set(marks) == {"gather", "send"}


def test_what_fails_on_the_way_is_told(gpu: Any) -> None:
    blocks = [(np.ones((3, 4), np.float32),), (np.ones((2, 4), np.float32),)]
    with pytest.raises(ValueError):
        list(_staging.answers_in_parts(blocks, gpu, lambda rows: rows, _staging.Plan(), _staging.unmarked))

    def refuse(rows: Any) -> Any:
        raise KeyError("no work today")

    with pytest.raises(KeyError):
        list(_staging.answers_in_parts(blocks[:1], gpu, refuse, _staging.Plan(), _staging.unmarked))


@pytest.mark.parametrize("spec", ["hullft", "sift"])
def test_kernels_that_fail_are_told_once_and_done_without(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(_fused, "usable", lambda _: True)
    monkeypatch.setattr(_fused, "_broken", [])
    monkeypatch.setattr("ttft_strategies._batch_hull.hullft_fused", fail)
    monkeypatch.setattr("ttft_strategies._batch.sift_fused", fail)
    problems = [problem(seed) for seed in range(3)]
    with pytest.warns(RuntimeWarning, match="no compiler here") as told:
        first = both(spec, problems, "cpu")
    assert len(told) == 1
    for one in first + both(spec, problems, "cpu"):
        assert_equal(*one)


def test_not_without_a_device_and_not_if_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from ttft_strategies._arrays import Arrays

    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert not _fused.usable(Arrays()) and not _fused.usable(TorchArrays("cpu"))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setenv("TTFT_TRITON", "0")
    assert not _fused.usable(TorchArrays("cpu"))
    assert build_selector("sift").select_many([], [], device="cpu") == []  # type: ignore[call-arg]
