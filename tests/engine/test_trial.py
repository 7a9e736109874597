"""What was built is compared with the model's own pass before it is used: a wrong gradient is found, and named."""

from __future__ import annotations

import warnings

import pytest
import torch

from families import FAMILIES, Numbers, build
from ttft_bench.engine import buckets
from ttft_bench.engine.compiled import CompiledBackend, Options, trial
from ttft_bench.engine.compiled.direct import Sink
from ttft_bench.engine.compiled.norms import _Scaled
from ttft_bench.engine.eager import IGNORED
from ttft_bench.engine.finetune import Engine, Settings
from ttft_bench.engine.model import state_hash, wrap_model

PLAIN = Options(compile=False)
SEQUENCE = torch.arange(1, 60)


def model_of(family, precision="fp32"):
    return wrap_model(build(family, tied=True), Numbers(257), name=family, precision=precision)


def warm_up(model, **settings):
    engine = Engine(model, Settings(**settings), backend="compiled", options=PLAIN)
    assert engine.backend.name == "compiled"
    before = state_hash(model.module)
    engine.warm_up([SEQUENCE])
    assert state_hash(model.module) == before
    return engine


SETTINGS = [{}, {"batch": 2}, {"trainable": "bias+norm"}, {"trainable": "last[k=1]"}, {"trainable": "lora[r=2]"}]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_what_is_right_is_used_without_a_word(family, precision, settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warm_up(model_of(family, precision), **settings).backend.name == "compiled"


def lose(monkeypatch, what):
    """Have one kind of gradient be zero, as a compiler once had it."""
    if what == "norms":
        monkeypatch.setattr(Sink, "scale", lambda self, index, above, x: self.targets[index].zero_())
    elif what == "layers":
        monkeypatch.setattr(Sink, "put", lambda self, index, above, x, transposed: self.targets[index].zero_())
    else:
        real = _Scaled.backward
        monkeypatch.setattr(_Scaled, "backward", staticmethod(lambda ctx, g: (g * 0, *real(ctx, g)[1:])))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("what", ["norms", "layers", "everything below a norm"])
def test_a_gradient_that_is_lost_is_found_and_named(family, precision, what, monkeypatch):
    lose(monkeypatch, what)
    where = {"norms": "(ln_|norm)", "layers": "(c_|proj|lm_head|wte|embed)"}.get(what, "")
    said = rf"its gradient of \S*{where}\S* differs from the model's own by (0\.9\d*|1) of its norm; .*eager"
    with pytest.warns(RuntimeWarning, match=said) as found:
        engine = warm_up(model_of(family, precision))
    assert engine.backend.name == "eager" and len(found) == 1


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 0.02), ("bf16", 1.0)])
def test_a_gradient_of_another_size_is_found(precision, limit, monkeypatch):
    real = Sink.put

    def scaled(self, index, above, x, transposed):
        real(self, index, above * (1 + limit if index == 1 else 1), x, transposed)

    monkeypatch.setattr(Sink, "put", scaled)
    with pytest.warns(RuntimeWarning, match="differs from the model's own"):
        warm_up(model_of("gpt2", precision))


def test_a_gradient_that_is_no_number_is_found(monkeypatch):
    monkeypatch.setattr(Sink, "scale", lambda self, index, above, x: self.targets[index].fill_(float("nan")))
    with pytest.warns(RuntimeWarning, match="by nan of its norm"):
        warm_up(model_of("gpt2"))


def test_another_loss_is_found(monkeypatch):
    real = trial.token_loss
    monkeypatch.setattr(trial, "token_loss", lambda logits, labels: 1 + real(logits, labels))
    with pytest.warns(RuntimeWarning, match="its loss is .* where the model's own is"):
        warm_up(model_of("gpt2"))


def test_nothing_is_left_behind():
    """Neither gradients of parameters, nor hooks, nor another gradient in the buffer than the next step would reuse."""
    model = model_of("llama")
    backend = CompiledBackend(model, Settings(), PLAIN)
    (group,) = backend.groups
    group.gradient.normal_(generator=torch.Generator().manual_seed(0))
    before = group.gradient.clone()
    backend.prepare([SEQUENCE])
    assert torch.equal(group.gradient, before)
    assert all(p.grad is None and not p._post_accumulate_grad_hooks for p in model.module.parameters())


def test_only_the_first_tokens_have_labels_in_the_trial(monkeypatch):
    monkeypatch.setattr(trial, "TRIAL_TOKENS", 16)
    tokens = torch.arange(2 * 3 * 40).reshape(2, 3, 40)
    short = trial.shorten(tokens)
    assert torch.equal(short[0], tokens[0]) and torch.equal(short[1, :, :16], tokens[1, :, :16])
    assert (short[1, :, 16:] == IGNORED).all() and not (tokens == IGNORED).any()
    # The module's own pass sees only those tokens, and yet has the same gradient.
    assert warm_up(model_of("gpt2")).backend.name == "compiled"
    lose(monkeypatch, "norms")
    with pytest.warns(RuntimeWarning, match="differs from the model's own"):
        warm_up(model_of("gpt2"))


def test_the_weight_of_a_loss_does_not_enter_the_trial(monkeypatch):
    """A new bucket may come up between steps whose loss has another weight."""
    monkeypatch.setattr(buckets, "GRAIN", 32)
    model = model_of("llama")
    backend = CompiledBackend(model, Settings(), PLAIN)
    backend.gradient(backend.prepare([SEQUENCE[:20]]), 3.0)
    batch = backend.prepare([SEQUENCE])
    assert len(backend._programs) == 2, "two buckets"
    found = []
    for weight in (3.0, 1.0):
        backend.gradient(batch, weight)
        found.append([view.clone() for view in backend.groups[0].find_gradients().values()])
    assert all(torch.allclose(heavy, 3 * light, atol=1e-6) for heavy, light in zip(*found, strict=True))


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_gradients_are_found_parameter_by_parameter(family):
    """Of stacked layers their own rows; of a padded head the rows that it has."""
    model = model_of(family)
    backend = CompiledBackend(model, Settings(), PLAIN)
    backend.gradient(backend.prepare([SEQUENCE]))
    found = {p: view for group in backend.groups for p, view in group.find_gradients().items()}
    assert {id(p) for p in found} == {id(p) for p in model.module.parameters()}
    loss = model.module(input_ids=SEQUENCE[None], labels=SEQUENCE[None]).loss
    exact = torch.autograd.grad(loss, list(found))
    for (parameter, view), gradient in zip(found.items(), exact, strict=True):
        assert view.shape == parameter.shape and (view - gradient).norm() <= 1e-5 * max(gradient.norm(), 1e-3)
