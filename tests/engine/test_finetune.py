from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from ttft_bench.engine.eager import EagerBackend
from ttft_bench.engine.finetune import Engine, Settings
from ttft_bench.engine.model import load_model, state_hash
from ttft_bench.engine.schedule import Reuse, Step, build_schedule
from ttft_bench.engine.score import make_target, score, training_sequence
from ttft_bench.errors import NonFiniteError, UsageError


@pytest.fixture(scope="module")
def model(tiny_model_dir):
    return load_model(tiny_model_dir, device="cpu")


@pytest.fixture(scope="module")
def sequences(model):
    texts = ["the quick brown fox", "jumps over", "the lazy dog, ünï"]
    return {i: training_sequence(model, text, 64) for i, text in enumerate(texts)}


def plain_loop(folder, sequences, order, lr=5e-5, dtype=torch.float32):
    """The textbook loop, on a model of its own: what the engine must reproduce bit for bit."""
    module = load_model(folder, device="cpu").module.to(dtype)
    module.eval()
    optimizer = torch.optim.Adam(module.parameters(), lr=lr, fused=True)
    for item in order:
        optimizer.zero_grad()
        logits = module(input_ids=sequences[item][None, :-1]).logits[0]
        cross_entropy(logits.float() if dtype == torch.float32 else logits, sequences[item][1:]).backward()
        optimizer.step()
    return module


def weights(module):
    return torch.cat([p.detach().double().reshape(-1) for p in module.parameters()])


def test_without_reuse_the_weights_are_bit_identical_to_the_plain_loop(model, sequences, tiny_model_dir):
    order = [0, 1, 1, 2, 0]
    engine = Engine(model)
    engine.warm_up([sequences[2]])
    with engine.adaptation() as adaptation:
        adaptation.advance(build_schedule(order, Reuse(1)), sequences)
        assert state_hash(model.module) == state_hash(plain_loop(tiny_model_dir, sequences, order))
        assert (adaptation.steps, adaptation.fresh_steps) == (5, 5)


def test_weights_agree_with_a_float64_reference(model, sequences, tiny_model_dir):
    order = [0, 1, 2]
    reference = plain_loop(tiny_model_dir, sequences, order, dtype=torch.float64)
    engine = Engine(model)
    with engine.adaptation() as adaptation:
        adaptation.advance(build_schedule(order), sequences)
        difference = weights(model.module) - weights(reference)
        assert difference.norm() / weights(reference).norm() < 1e-5


def test_early_checkpoints_do_not_disturb_the_run(model, sequences):
    engine = Engine(model)
    steps = build_schedule([0, 0, 1, 2], Reuse(2))
    target = make_target(model, "some prompt text", 64)
    with engine.adaptation() as adaptation:
        adaptation.advance(steps, sequences)
        at_once = state_hash(model.module)
    with engine.adaptation() as adaptation:
        for step in steps:
            adaptation.advance([step], sequences)
            score(model, target)
        assert state_hash(model.module) == at_once


def test_reuse_applies_the_last_gradient_again(model, sequences, tiny_model_dir):
    module = load_model(tiny_model_dir, device="cpu").module.eval()
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-5, fused=True)
    cross_entropy(module(input_ids=sequences[0][None, :-1]).logits[0], sequences[0][1:]).backward()
    optimizer.step()
    optimizer.step()
    engine = Engine(model)
    with engine.adaptation() as adaptation:
        adaptation.advance(build_schedule([0, 0], Reuse(2)), sequences)
        assert state_hash(model.module) == state_hash(module)
        assert (adaptation.steps, adaptation.fresh_steps) == (2, 1)
        assert len(adaptation.losses) == 1


def moved(model, sequences, steps, optimizer="adam"):
    """Where these steps bring the weights, from where they were."""
    before = weights(model.module)
    with Engine(model, Settings(lr=1e-3, optimizer=optimizer)).adaptation() as adaptation:
        adaptation.advance(steps, sequences)
        return weights(model.module) - before


@pytest.mark.parametrize("factor", [2.0, 7.0])
def test_a_weighted_loss_is_a_longer_step_under_sgd_and_the_same_first_step_under_adam(model, sequences, factor):
    for optimizer, longer in (("sgd", factor), ("adam", 1.0), ("adamw[weight_decay=0.0]", 1.0)):
        plain = moved(model, sequences, [Step(0, True)], optimizer)
        weighted = moved(model, sequences, [Step(0, True, loss_weight=factor)], optimizer)
        # Adam's eps is not scaled along: that is what is left.
        assert (weighted - longer * plain).norm() < 5e-3 * plain.norm(), optimizer


def test_weighted_loss_is_nearly_skip_under_adam_and_is_scale_lr_under_sgd(model, sequences):
    def off_skip(picks, mode, optimizer):
        skip, other = (
            moved(model, sequences, build_schedule(picks, Reuse(2, mode=one)), optimizer) for one in ("skip", mode)
        )
        return float((other - skip).norm() / skip.norm())

    alike, unlike = [0, 0, 1, 1, 2, 2], [1, 0, 0, 2]
    assert off_skip(alike, "weighted-loss", "adam") < 5e-3, "all weights equal: the whole run is the same"
    assert off_skip(alike, "scale-lr", "adam") > 0.9
    assert 0.05 < off_skip(unlike, "weighted-loss", "adam") < 0.5 * off_skip(unlike, "scale-lr", "adam")
    assert off_skip(unlike, "weighted-loss", "sgd") == pytest.approx(off_skip(unlike, "scale-lr", "sgd"), rel=1e-3)


def test_weights_and_optimizer_are_restored_after_success_and_after_any_exception(model, sequences):
    engine = Engine(model)
    before = state_hash(model.module)
    for failure in (None, RuntimeError, KeyboardInterrupt, torch.OutOfMemoryError):
        try:
            with engine.adaptation() as adaptation:
                adaptation.advance(build_schedule([0, 1]), sequences)
                assert state_hash(model.module) != before
                if failure is not None:
                    raise failure("injected")
        except BaseException as error:
            assert failure is not None and isinstance(error, failure)
        assert state_hash(model.module) == before
        for state in engine.backend.optimizer.state.values():
            assert all(not value.any() for value in state.values() if torch.is_tensor(value))


def test_a_failure_inside_backward_leaves_no_trace(model, sequences, monkeypatch):
    engine = Engine(model)
    with engine.adaptation() as adaptation:
        adaptation.advance(build_schedule([0, 1]), sequences)
        expected = state_hash(model.module)
    calls = []

    def failing_loss(batch):
        calls.append(1)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("injected")
        return EagerBackend._loss(engine.backend, batch)

    monkeypatch.setattr(engine.backend, "_loss", failing_loss)
    with pytest.raises(torch.OutOfMemoryError), engine.adaptation() as adaptation:
        adaptation.advance(build_schedule([2, 2]), sequences)
    monkeypatch.undo()
    with engine.adaptation() as adaptation:
        adaptation.advance(build_schedule([0, 1]), sequences)
        assert state_hash(model.module) == expected


def test_nan_loss_is_an_error_and_the_weights_come_back(model, sequences):
    engine = Engine(model, Settings(lr=1e30))
    before = state_hash(model.module)
    with pytest.raises(NonFiniteError, match="learning rate"), engine.adaptation() as adaptation:
        adaptation.advance(build_schedule([0, 1, 2, 0, 1, 2]), sequences)
    assert state_hash(model.module) == before


def test_dropout_is_off_by_default_and_seeded_when_on(model, sequences):
    assert model.module.config.resid_pdrop > 0, "the tiny model must have dropout for this to mean anything"
    hashes = {}
    for dropout, seed in ((False, 1), (False, 2), (True, 1), (True, 1), (True, 2)):
        engine = Engine(model, Settings(dropout=dropout))
        state = torch.get_rng_state()
        with engine.adaptation(seed) as adaptation:
            adaptation.advance(build_schedule([0, 1]), sequences)
            hashes.setdefault((dropout, seed), set()).add(state_hash(model.module))
        assert torch.equal(state, torch.get_rng_state()), "the global generator was touched"
    assert hashes[False, 1] == hashes[False, 2]
    assert len(hashes[True, 1]) == 1
    assert hashes[True, 1] != hashes[True, 2] != hashes[False, 1]


def test_finetuning_on_a_text_makes_it_likelier(model):
    engine = Engine(model, Settings(lr=1e-3))
    text = "repetition is the mother of learning. " * 3
    target = make_target(model, text, 128)
    before = score(model, target)
    with engine.adaptation() as adaptation:
        adaptation.advance(build_schedule([0] * 10), {0: training_sequence(model, text, 128)})
        assert score(model, target) < before - 0.5
    assert score(model, target) == before


def test_an_engine_is_not_reentrant(model, sequences):
    engine = Engine(model)
    with (
        engine.adaptation(),
        pytest.raises(RuntimeError, match="one adaptation at a time"),
        engine.adaptation(),
    ):
        pass


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_an_adaptation_that_was_left_takes_no_more_steps(tiny_model_dir, sequences, backend):
    from ttft_bench.engine.compiled import Options

    model = load_model(tiny_model_dir, device="cpu")
    engine = Engine(model, backend=backend, options=Options(compile=False) if backend == "compiled" else None)
    before, steps = state_hash(model.module), build_schedule([0, 1])
    with engine.adaptation() as left:
        left.advance(steps, sequences)
    with pytest.raises(RuntimeError, match="was left"):
        left.advance(steps, sequences)
    with engine.adaptation() as following:
        for late in (left.advance, left.prepare):
            with pytest.raises(RuntimeError, match="was left"):
                late(build_schedule([2]), sequences)
        following.advance(steps, sequences)
        assert following.losses == left.losses
    assert engine.backend.name == backend and state_hash(model.module) == before


def test_the_first_step_must_be_fresh(model, sequences):
    engine = Engine(model)
    with engine.adaptation() as adaptation, pytest.raises(ValueError, match="no gradient"):
        adaptation.advance([Step(0, fresh=False)], sequences)


def test_impossible_learning_rate():
    for lr in (0.0, -1.0, float("nan"), "high"):
        with pytest.raises(UsageError, match="lr must be a finite number above 0"):
            Settings(lr=lr)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batch": 1.5}, "batch must be at least 1 and a whole number, got 1.5"),
        ({"clip": "x"}, "clip must be a finite number above 0, got x"),
        ({"optimizer": "adam[beta1=2]"}, r"beta1 must be in \[0, 1\), got 2"),
        ({"optimizer": "adamw[eps=-1]"}, "eps must be at least 0, got -1"),
    ],
)
def test_impossible_settings_are_named_with_what_was_given(given, said):
    with pytest.raises(UsageError, match=said):
        Settings(**given)


def test_the_clock_counts_training_only(model, sequences):
    engine = Engine(model)
    with engine.adaptation() as adaptation:
        adaptation.advance(build_schedule([0]), sequences)
        one = adaptation.finetune_s
        np.testing.assert_array_less(0.0, one)
        adaptation.advance([], sequences)
        assert adaptation.finetune_s - one < one
    assert engine.restore_s > 0


def test_one_kind_of_training_has_a_model_at_a_time(tiny_model_dir):
    model = load_model(tiny_model_dir, device="cpu")
    first = Engine(model, Settings())
    with pytest.raises(UsageError, match=r"being trained as full by another Engine, which bias\+norm would disturb"):
        Engine(model, Settings(trainable="bias+norm"))
    Engine(model, Settings(lr=1e-3))
    del first
    Engine(model, Settings(trainable="lora"))
    with pytest.raises(UsageError, match="carries adapters from an earlier lora"):
        Engine(model, Settings())


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([5], r"T in 2\.\."),
        (list(range(3)) * 900, r"T in 2\.\."),
        ([1, -1], r"got -1\.\.1"),
        ([1, 10**6], "got 1..1000000"),
    ],
)
def test_sequences_that_cannot_be_trained_on_are_told(tiny_model_dir, tokens, message):
    engine = Engine(load_model(tiny_model_dir, device="cpu"), Settings())
    with pytest.raises(UsageError, match=message), engine.adapted([Step(0, True)], {0: torch.tensor(tokens)}):
        pass
    with pytest.raises(UsageError, match="float32"), engine.adapted([Step(0, True)], {0: torch.ones(4)}):
        pass
