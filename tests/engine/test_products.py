"""Products of linear layers by oneDNN: chosen by a probe, in place for a step only, equal to rounding."""

from __future__ import annotations

import copy
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.pytorch_utils import Conv1D

from ttft_bench.engine import products
from ttft_bench.engine.finetune import Engine, Settings
from ttft_bench.engine.forwards import forwards_replaced
from ttft_bench.engine.model import state_hash, wrap_model
from ttft_bench.engine.products import Products, Swap, probe
from ttft_bench.engine.schedule import Reuse, build_schedule

SIZES = {"vocab_size": 300, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
STEPS = build_schedule([0, 1, 1, 2, 0], Reuse(2))
NAMES = ("output", "input_gradient", "weight_gradient")


class Numbers:
    """A tokenizer without tokens: sequences here are numbers already."""

    bos_token = eos_token = None

    def get_vocab(self):
        return {}


@pytest.fixture
def timed(monkeypatch):
    """Replace the stopwatch: oneDNN is as many times as fast as told."""

    def tell(*leads):
        probe.cache_clear()
        remaining = iter(leads)
        monkeypatch.setattr(products, "race", lambda usual, other: (usual(), other(), next(remaining))[-1])

    yield tell
    probe.cache_clear()


def build(family):
    """Layers of at least 65,536 weights; GPT-2's are kept transposed and have biases."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        if family == "gpt2":
            return GPT2LMHeadModel(GPT2Config(n_embd=256, n_layer=2, n_head=4, n_positions=64, **SIZES)).eval()
        sizes = {"hidden_size": 256, "intermediate_size": 384, "num_hidden_layers": 2, "num_attention_heads": 4}
        return LlamaForCausalLM(LlamaConfig(num_key_value_heads=4, max_position_embeddings=64, **sizes, **SIZES)).eval()


def wrap(module, precision="fp32"):
    return wrap_model(module, Numbers(), name="m", fingerprint="m", precision=precision)


@pytest.fixture(scope="module")
def sequences():
    generator = torch.Generator().manual_seed(5)
    return {i: torch.randint(1, 300, (n,), generator=generator) for i, n in enumerate((20, 33, 50))}


def plain_loop(module, sequences, lr):
    optimizer = torch.optim.SGD(module.parameters(), lr=lr)
    losses = []
    for step in STEPS:
        if step.fresh:
            optimizer.zero_grad()
            loss = cross_entropy(module(input_ids=sequences[step.item][None, :-1]).logits[0], sequences[step.item][1:])
            loss.backward()
            losses.append(loss.item())
        optimizer.step()
    return losses


def weights(module):
    return torch.cat([parameter.detach().double().reshape(-1) for parameter in module.parameters()])


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_losses_and_weights_equal_the_plain_loop_and_the_layers_are_left_as_they_were(family, sequences, timed):
    timed(2.5, 2.5, 2.5)
    model, reference = wrap(build(family)), build(family)
    before = state_hash(model.module)
    # SGD: Adam turns the rounding of gradients that are truly zero (GPT-2's key biases) into whole steps.
    engine = Engine(model, Settings(lr=1e-2, optimizer="sgd"), backend="eager")
    swap = engine.backend.swap
    kinds = {type(layer) for layer, _ in swap.layers}
    assert kinds == ({Conv1D, nn.Linear} if family == "gpt2" else {nn.Linear})
    assert len(swap.layers) == (9 if family == "gpt2" else 15)
    expected = plain_loop(reference, sequences, 1e-2)
    with engine.adaptation() as adaptation:
        adaptation.advance(STEPS, sequences)
        difference = weights(model.module) - weights(reference)
        assert difference.norm() / weights(reference).norm() < 1e-6
        assert adaptation.losses == pytest.approx(expected, rel=1e-6)
        assert not any("forward" in vars(layer) for layer in model.module.modules())
    assert state_hash(model.module) == before
    assert engine.backend.describe()["products"].startswith("output and input_gradient and weight_gradient by oneDNN")


def test_a_wrapper_of_a_layer_stays_and_is_not_passed_by(sequences, timed):
    timed(2.5, 2.5, 2.5)
    model = wrap(build("llama"))
    engine = Engine(model, backend="eager")
    layer = model.module.model.layers[0].mlp.up_proj
    calls, inner = [], layer.forward
    layer.forward = lambda x: calls.append(1) or inner(x)
    wrapper = layer.forward
    with engine.adaptation() as adaptation:
        adaptation.advance(STEPS, sequences)
    assert len(calls) == adaptation.fresh_steps and layer.forward is wrapper


@pytest.mark.parametrize("wrapped", [False, True])
def test_forward_passes_are_put_back_as_they_were(wrapped):
    layer = nn.Linear(2, 2)
    if wrapped:
        layer.forward = lambda x: x
    before = vars(layer).get("forward")
    with pytest.raises(RuntimeError, match="by hand"), forwards_replaced([(layer, lambda x: x + 1)]):
        assert layer(torch.zeros(2)).tolist() == [1, 1]
        raise RuntimeError("by hand")
    assert vars(layer).get("forward") is before


def test_layers_are_put_back_when_a_step_raises(sequences, timed, monkeypatch):
    timed(2.5, 2.5, 2.5)
    model = wrap(build("llama"))
    engine = Engine(model, backend="eager")

    def broken(*_):
        raise MemoryError

    monkeypatch.setattr(products, "_mm", broken)
    with pytest.raises(MemoryError), engine.adaptation() as adaptation:
        adaptation.advance(STEPS, sequences)
    assert not any("forward" in vars(layer) for layer in model.module.modules())


@pytest.mark.parametrize("chosen", [(True, False, False), (False, True, False), (False, False, True)])
@pytest.mark.parametrize("kind", ["linear", "bias", "transposed"])
def test_every_product_alone_gives_the_layer_and_its_gradients(chosen, kind):
    torch_state = torch.random.get_rng_state()
    layer = Conv1D(12, 7) if kind == "transposed" else nn.Linear(7, 12, bias=kind == "bias")
    x = torch.linspace(-1, 1, 2 * 5 * 7).view(2, 5, 7).requires_grad_()
    torch.random.set_rng_state(torch_state)
    found = []
    for forward in (layer, partial(products._forward, layer, Products(*chosen))):
        out = forward(x)
        wanted = [x, *layer.parameters()]
        found.append([out.detach(), *torch.autograd.grad((out * torch.cos(out)).sum(), wanted)])
    for usual, other in zip(*found, strict=True):
        assert usual.shape == other.shape and usual.stride() == other.stride()
        torch.testing.assert_close(other, usual)


def test_frozen_weights_get_no_gradient(timed, sequences):
    timed(2.5, 2.5, 2.5)
    model = wrap(build("llama"))
    engine = Engine(model, Settings(trainable="last[k=1]"), backend="eager")
    with engine.adaptation() as adaptation:
        adaptation.advance(STEPS, sequences)
        assert model.module.model.layers[0].mlp.up_proj.weight.grad is None
        assert model.module.model.layers[1].mlp.up_proj.weight.grad is not None


def test_only_a_clear_lead_counts_and_each_product_for_itself(timed):
    timed(products.LEAD, 1.4, 0.8)
    found = probe(64, 96, 1)
    assert [getattr(found, name) for name in NAMES] == [True, False, False]
    assert "1.50, 1.40, 0.80 times as fast" in str(found)
    timed(1.4, 1.4, 1.4)
    swap = Swap(wrap(build("llama")))
    assert not swap.products.any and swap.layers == [] and str(swap.products).startswith("default (oneDNN is 1.40")


def test_the_probe_runs_once_for_a_shape_and_draws_no_random_numbers():
    probe.cache_clear()
    before = torch.random.get_rng_state()
    first = probe(64, 96, torch.get_num_threads())
    assert probe(64, 96, torch.get_num_threads()) is first
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_build_without_onednn_is_recorded(monkeypatch):
    def missing(*_):
        raise AttributeError("no such operator")

    probe.cache_clear()
    monkeypatch.setattr(products, "_multiply", missing)
    found = probe(64, 96, 1)
    probe.cache_clear()
    assert not found.any and str(found) == "default (oneDNN cannot be used (AttributeError))"


def test_nothing_is_exchanged_in_small_models_in_half_precision_or_off_the_cpu(timed):
    timed()  # no probe may run
    small = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=64, **SIZES)).eval()
    assert str(Swap(wrap(small)).products) == "default (no layer is large enough)"
    for model in (
        wrap(build("llama"), "bf16"),
        SimpleNamespace(device=torch.device("meta"), precision="fp32", module=None),
    ):
        assert str(Swap(model).products) == "default (not fp32 on a CPU)"


def test_the_probed_shape_is_that_of_most_weights_the_head_aside():
    layers = [products._shape(layer) for layer in build("llama").modules()]
    counts = products.Counter(shape for shape in layers if shape)
    assert counts == {(256, 256): 8, (256, 384): 4, (384, 256): 2, (256, 300): 1}
    assert products._typical(counts) == (256, 256)
    assert products._typical(products.Counter({(256, 300): 1})) == (256, 300)


def test_copies_of_a_model_share_no_forward_pass(timed):
    timed(2.5, 2.5, 2.5)
    model = wrap(build("llama"))
    swap = Swap(model)
    with swap.active():
        other = copy.deepcopy(build("llama"))
        assert "forward" in vars(model.module.lm_head) and "forward" not in vars(other.lm_head)
