"""Whatever fails, wherever it fails: weights and optimizer state are as before, and the next run is as ever."""

from __future__ import annotations

import pytest
import torch

from tiny import write_model
from ttft_bench.engine.compiled import Options
from ttft_bench.engine.finetune import Engine, Settings
from ttft_bench.engine.model import load_model, state_hash
from ttft_bench.engine.schedule import Reuse, Step, build_schedule
from ttft_bench.engine.score import make_target, score, training_sequence

STEPS = build_schedule([0, 1, 1, 2], Reuse(2))
PHASES = ("forward", "backward", "update", "after the update", "scoring")
FAILURES = (RuntimeError, KeyboardInterrupt, torch.OutOfMemoryError, MemoryError)


@pytest.fixture(scope="module", params=["eager", "compiled", "compiled, blocks apart"])
def engine(request, tmp_path_factory):
    model = load_model(write_model(tmp_path_factory.mktemp("faults") / "m"), device="cpu")
    name, apart = request.param.split(",")[0], "apart" in request.param
    with pytest.MonkeyPatch.context() as patch:
        if apart:
            patch.setattr("ttft_bench.engine.compiled.beside.LEAST", 1)
        made = Engine(model, Settings(lr=1e-3), backend=name, options=Options(compile=False))
    assert name == "eager" or bool(made.backend._beside.blocks) is apart
    return made


@pytest.fixture(scope="module")
def sequences(engine):
    return {i: training_sequence(engine.model, text, 64) for i, text in enumerate(["one text", "another", "the third"])}


def fail_on_call(number, failure, real, after=False):
    """``real``, but its ``number``-th call raises; with ``after``, once it has done its work."""
    calls = []

    def faulty(*args, **kwargs):
        calls.append(1)
        if len(calls) == number and not after:
            raise failure("injected")
        result = real(*args, **kwargs)
        if len(calls) == number:
            raise failure("injected")
        return result

    return faulty


def inject(monkeypatch, engine, phase, number, failure):
    backend = engine.backend
    if phase == "forward":
        # The embedding is the first thing of a forward pass on either road.
        real = torch.nn.functional.embedding
        faulty = fail_on_call(number, failure, real)
        monkeypatch.setattr(torch.nn.functional, "embedding", faulty)
        monkeypatch.setattr("ttft_bench.engine.compiled.road.embedding", faulty)
    elif phase == "backward":
        faulty = fail_on_call(number, failure, torch.Tensor.backward)
        monkeypatch.setattr(torch.Tensor, "backward", lambda self, *a, **k: faulty(self, *a, **k))
        monkeypatch.setattr(torch.autograd, "grad", fail_on_call(number, failure, torch.autograd.grad))
    elif phase in ("update", "after the update"):
        owner, name = (backend, "update") if backend.name == "eager" else (backend._update, "apply")
        faulty = fail_on_call(number, failure, getattr(owner, name), after=phase == "after the update")
        monkeypatch.setattr(owner, name, faulty)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("number", [1, 2])
def test_a_failure_leaves_no_trace(engine, sequences, monkeypatch, phase, number, failure):
    module, before = engine.model.module, state_hash(engine.model.module)
    target = make_target(engine.model, "some prompt", 64)
    with engine.adaptation() as adaptation:
        adaptation.advance(STEPS, sequences)
        expected, losses = state_hash(module), adaptation.losses
    with monkeypatch.context() as patch:
        inject(patch, engine, phase, number, failure)
        with pytest.raises(failure, match="injected"), engine.adaptation() as adaptation:
            adaptation.advance(STEPS[:2], sequences)
            if phase == "scoring":
                score(engine.model, target)
                raise failure("injected")
            adaptation.advance(STEPS[2:], sequences)
    assert state_hash(module) == before
    if engine.backend.name == "eager":
        for state in engine.backend.optimizer.state.values():
            assert all(not value.any() for value in state.values() if torch.is_tensor(value))
    else:
        assert engine.backend._update.step == 0
    with engine.adaptation() as adaptation:
        adaptation.advance(STEPS, sequences)
        assert (state_hash(module), adaptation.losses) == (expected, losses)
    assert state_hash(module) == before


@pytest.mark.parametrize(("number", "failure"), [(1, torch.OutOfMemoryError), (2, KeyboardInterrupt)])
def test_a_failure_while_the_optimizer_makes_its_state_is_not_remembered(tmp_path, monkeypatch, number, failure):
    """The first step of an Engine's life makes the moments of one weight after the other."""
    model = load_model(write_model(tmp_path / "m"), device="cpu")
    engine = Engine(model, Settings(lr=1e-3), backend="eager")
    before, sequences = state_hash(model.module), {0: torch.arange(1, 20)}
    with monkeypatch.context() as patch:
        patch.setattr(torch, "zeros_like", fail_on_call(number, failure, torch.zeros_like))
        with pytest.raises(failure, match="injected"), engine.adaptation() as adaptation:
            adaptation.advance([Step(0, True)], sequences)
    assert state_hash(model.module) == before
    hashes = set()
    for one in (engine, Engine(model, Settings(lr=1e-3), backend="eager")):
        with one.adaptation() as adaptation:
            adaptation.advance([Step(0, True)], sequences)
            hashes.add(state_hash(model.module))
    assert len(hashes) == 1 and state_hash(model.module) == before


def test_a_run_of_length_one_pays_no_copy(engine, sequences):
    """The gradient of a reused step is the one in place: no tensor of the model's size is made for it."""
    gradients = (
        [p.grad for p in engine.backend.parameters]
        if engine.backend.name == "eager"
        else [group.gradient for group in engine.backend.groups]
    )
    with engine.adaptation() as adaptation:
        adaptation.advance(STEPS[:1], sequences)
        places = [g.data_ptr() for g in gradients if g is not None]
        kept = [g.clone() for g in gradients if g is not None]
        engine.backend.update(1e-3)
        assert places == [g.data_ptr() for g in gradients if g is not None]
        assert all(torch.equal(g, k) for g, k in zip((g for g in gradients if g is not None), kept, strict=True))


def test_the_global_generator_is_untouched_whatever_runs(engine, sequences):
    state = torch.get_rng_state()
    with engine.adaptation(7) as adaptation:
        adaptation.advance(STEPS, sequences)
    assert torch.equal(state, torch.get_rng_state())
