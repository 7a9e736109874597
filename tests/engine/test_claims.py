"""Several Engines of one model: they share what moves the weights, or are refused; it is adapted once at a time."""

from __future__ import annotations

import copy
import gc
import io
from dataclasses import replace

import pytest
import torch

from tiny import write_model
from ttft_bench.engine.compiled import CompiledBackend, Options
from ttft_bench.engine.finetune import Engine, Settings
from ttft_bench.engine.lanes import open_lanes
from ttft_bench.engine.model import load_model, state_hash
from ttft_bench.engine.schedule import build_schedule
from ttft_bench.errors import BackendError, UsageError

PLAIN = Options(compile=False)
STEPS, SEQUENCES = build_schedule([0, 0, 1]), {0: torch.arange(1, 20), 1: torch.arange(5, 30)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("claims") / "m")


@pytest.fixture
def model(folder):
    return load_model(folder, device="cpu")


def compiled(model, settings=None, options=PLAIN):
    return Engine(model, settings, backend="compiled", options=options)


def adapt(engine, lr=1e-2):
    """Hash of the adapted weights; they are restored."""
    before = state_hash(engine.model.module)
    with engine.adaptation(lr=lr) as adaptation:
        adaptation.advance(STEPS, SEQUENCES)
        after = state_hash(engine.model.module)
    assert state_hash(engine.model.module) == before != after
    return after


def test_compiled_engines_of_equal_settings_share_their_steps(model, folder):
    first = compiled(model, Settings(lr=1e-3, trainable="last"))
    second = compiled(replace(model, tokenizer=None), Settings(lr=1e-2, trainable="last[k=1]"))
    other = compiled(load_model(folder, device="cpu"), Settings(trainable="last"))
    assert first.backend is second.backend is not other.backend
    assert adapt(first) == adapt(second) == adapt(first) == adapt(other)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"backend": "eager"}, {"backend": "compiled"}),
        ({"backend": "compiled"}, {"backend": "eager"}),
        ({"backend": "compiled"}, {"backend": "compiled", "options": Options(compile=False, split=False)}),
        ({"backend": "compiled"}, {"backend": "compiled", "settings": Settings(optimizer="sgd")}),
    ],
)
def test_what_would_move_the_weights_of_another_engine_is_refused(model, first, second):
    kept = Engine(model, **{"options": PLAIN, **first})
    expected = adapt(kept)
    with pytest.raises(UsageError, match=r"by another Engine on the .* backend.*drop that Engine first, or load"):
        Engine(model, **{"options": PLAIN, **second})
    assert adapt(kept) == expected
    del kept
    adapt(Engine(model, **{"options": PLAIN, **second}))


def test_another_precision_of_one_module_is_another_kind(model):
    kept = compiled(model)
    with pytest.raises(UsageError, match="precision are equal"):
        compiled(replace(model, precision="bf16"))
    adapt(kept)


def test_every_engine_counts_not_only_the_last(model):
    first, second = Engine(model), Engine(model, Settings(optimizer="sgd"))
    assert first.backend is not second.backend
    del second
    with pytest.raises(UsageError, match=r"bias\+norm would disturb"):
        Engine(model, Settings(trainable="bias+norm"))
    adapt(first)


def test_an_engine_in_a_reference_cycle_holds_nothing_once_it_is_dropped(model):
    gc.disable()
    try:
        engine = compiled(model)
        engine.itself = engine
        del engine
        adapt(Engine(model, Settings(trainable="bias+norm"), backend="eager"))
    finally:
        gc.enable()


def test_an_engine_that_was_refused_by_its_settings_holds_nothing(model):
    with pytest.raises(UsageError, match="blocks") as refused:
        Engine(model, Settings(trainable="last[k=9]"))
    assert refused.tb is not None, "as a notebook keeps it"
    adapt(Engine(model))


def test_engines_that_share_steps_do_not_take_changed_weights_for_untouched(model):
    first = compiled(model)
    with torch.no_grad():
        next(model.module.parameters()).add_(1.0)
    with pytest.raises(UsageError, match=r"weights of .* were changed since"):
        compiled(model)
    del first
    adapt(compiled(model))


def test_one_adaptation_of_a_model_at_a_time_whoever_asks(model):
    first, second = Engine(model), Engine(model)
    with first.adaptation() as adaptation:
        adaptation.advance(STEPS, SEQUENCES)
        with pytest.raises(RuntimeError, match="one adaptation at a time"), second.adaptation():
            pass
        with pytest.raises(UsageError, match="would take its adapted weights for untouched"):
            Engine(model)
    adapt(second)


def test_engines_of_equal_settings_go_on_when_one_of_them_turns_eager(model, monkeypatch):
    first, second = compiled(model), compiled(model)
    with monkeypatch.context() as patch:

        def broken(self, group):
            raise BackendError("no compiler")

        patch.setattr(CompiledBackend, "prepare", broken)
        with pytest.warns(RuntimeWarning, match="no compiler"):
            expected = adapt(first)
    third = compiled(model)
    assert {one.backend.name for one in (first, second)} == {"eager", "compiled"}
    assert third.backend in (first.backend, second.backend), "building once more would move the weights"
    adapt(second)
    assert adapt(first) == expected
    adapt(third)


def test_a_model_in_use_can_be_copied_and_saved(model):
    engine = compiled(model)
    twin = replace(model, module=copy.deepcopy(model.module))
    adapt(Engine(twin, Settings(trainable="bias+norm"), backend="eager"))
    torch.save(model.module, io.BytesIO())
    adapt(engine)


def test_lanes_opened_twice_train_alike(model):
    lanes = [*open_lanes(model, None, 2, backend="compiled", options=PLAIN)]
    lanes += open_lanes(model, None, 2, backend="compiled", options=PLAIN)
    assert lanes[0].engine.backend is lanes[2].engine.backend
    assert len({adapt(lane.engine) for lane in lanes}) == 1
