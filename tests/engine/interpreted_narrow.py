"""Checks of the narrow kernels, run by ``test_narrow.py`` in a process of their own.

triton decides when a kernel is defined whether it will be compiled or interpreted, so this is not collected with
the rest. On a machine with a GPU the kernels are compiled and run there.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch

from tiny import write_model
from ttft_bench.engine.compiled import CompiledBackend, Options, beside, narrow, rules
from ttft_bench.engine.finetune import Engine, Settings
from ttft_bench.engine.model import load_model, state_hash
from ttft_bench.engine.schedule import Reuse, build_schedule

#: The compiler's own.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
BF16, FP32 = torch.bfloat16, torch.float32
KINDS = ("weights", "shadow", "gradient", "first", "second")
Group = tuple[torch.Tensor, ...]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrow, "BLOCK", 256)
    torch._dynamo.reset()  # what is compiled over and over is not compiled any more, and rounds otherwise


def group(count: int, dtype: torch.dtype) -> Group:
    """Moments are NaN: the first step must not look at them."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(count, generator=generator) * 0.05
    gradient = (torch.randn(count, generator=generator) * 1e-3).to(dtype)
    moments = [torch.full((count,), float("nan")) for _ in range(2)]
    on = [tensor.to(DEVICE) for tensor in (weights, gradient, *moments)]
    return on[0], on[0] if dtype == FP32 else on[0].to(dtype), *on[1:]


def copy(of: Group) -> Group:
    clones = [tensor.clone() for tensor in of]
    return clones[0], clones[0] if of[1] is of[0] else clones[1], *clones[2:]


def steps(decay: float = 0.0, count: int = 3):
    """What each of the first steps is given."""
    for number in range(1, count + 1):
        step, lr = (torch.tensor(value, device=DEVICE) for value in (float(number), 5e-5))
        yield step, lr, *rules.coefficients(step, lr, 0.9, 0.999), None, (0.9, 0.999, 1e-8, decay)


@pytest.mark.parametrize("dither", [True, False])
@pytest.mark.parametrize("dtype", [BF16, FP32], ids=str)
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("count", "programs"), [(64, 4), (1024, 1), (1600, 3)])
def test_a_step_is_that_of_the_rules(dither: bool, dtype: torch.dtype, decay: float, count: int, programs: int) -> None:
    ours = group(count, dtype)
    theirs = copy(ours)
    # As the backend runs it: compiled, products and sums become one operation, in both.
    rule = torch.compile(rules.adam_, dynamic=False) if DEVICE == "cuda" else rules.adam_
    for arguments in steps(decay):
        narrow.adam_(ours, *arguments, dither, programs=programs)
        rule(theirs, *arguments, dither)
    if DEVICE == "cuda":
        assert all(map(torch.equal, ours, theirs))
    assert torch.equal(ours[3], theirs[3]) and torch.equal(ours[4], theirs[4])
    torch.testing.assert_close(ours[0], theirs[0], rtol=2e-7, atol=1e-8)
    if dtype == BF16 and dither:
        assert torch.equal(ours[1], rules.dithered(ours[0], ours[3]).to(dtype))
    elif dtype == BF16:  # triton's interpreter cuts bits off where a GPU rounds
        exact = {"rtol": 2**-7, "atol": 0.0} if DEVICE == "cpu" else {"rtol": 0.0, "atol": 0.0}
        torch.testing.assert_close(ours[1], ours[0].to(dtype), **exact)
    assert torch.equal(ours[2], group(count, dtype)[2]), "a gradient may be used again"


@pytest.mark.parametrize("dtype", [BF16, FP32], ids=str)
@pytest.mark.parametrize("ids", [[3, 5, 3, 63, 0, 5], [7], [*range(64)]], ids=len)
def test_a_table_in_two_parts_is_the_whole(dtype: torch.dtype, ids: list[int]) -> None:
    whole = group(64 * 48, dtype)
    parts = copy(whole)
    rows = narrow.Rows.of(64, 48, torch.device(DEVICE))
    assert rows is not None
    tokens = torch.tensor(ids, device=DEVICE)
    rows.mark(tokens)
    for arguments in steps():
        narrow.adam_(whole, *arguments, programs=2)
        before = [tensor.view(64, 48)[ids].clone() for tensor in parts]
        narrow.adam_(parts, *arguments, programs=2, rows=rows)
        assert all(map(torch.equal, (t.view(64, 48)[ids].nan_to_num() for t in parts), map(torch.nan_to_num, before)))
        narrow.adam_rows_(parts, *arguments, rows=rows, ids=tokens)
    assert all(map(torch.equal, whole, parts))


def test_rows_that_cannot_be_taken_apart_are_not() -> None:
    device = torch.device(DEVICE)
    widths = (16, 48, 576, 768, 8, 100, 33)
    assert [narrow.Rows.of(4, width, device) is not None for width in widths] == [True] * 4 + [False] * 3


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_whole_runs_are_those_of_one_update_at_the_end(architecture, tmp_path, monkeypatch):
    monkeypatch.setattr(beside, "LEAST", 1)
    monkeypatch.setattr(CompiledBackend, "_count_programs", lambda self: 2)
    used = []
    real = narrow.adam_rows_
    monkeypatch.setattr(narrow, "adam_rows_", lambda *a, **k: used.append(k["ids"].numel()) or real(*a, **k))
    folder = write_model(tmp_path / "m", architecture=architecture)
    options = Options(compile=False)
    found, begun = [], []
    for now in (options, replace(options, beside=False)):
        model = load_model(folder, device=DEVICE, precision="fp32")
        before = state_hash(model.module)
        engine = Engine(model, Settings(lr=1e-3), backend="compiled", options=now)
        assert engine.backend.name == "compiled"
        sequences = {i: torch.arange(1, 20 + i, device=DEVICE) for i in range(3)}
        with engine.adaptation() as adaptation:
            adaptation.advance(build_schedule([0, 1, 1, 2, 0], Reuse(2)), sequences)
            found.append(torch.cat([p.detach().double().flatten() for p in model.module.parameters()]))
        assert state_hash(model.module) == before
        begun.append(len(used))
    tied = architecture == "gpt2"  # of these two
    assert begun[0] == begun[1] and (begun[0] > 0) is tied
    assert float((found[0] - found[1]).norm() / found[1].norm()) < 1e-6
