"""Norms that are taken apart: which ones, and that nothing but the place of their gradients changes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from families import Numbers, build, weights
from ttft_bench.engine.compiled import CompiledBackend, Options
from ttft_bench.engine.compiled.norms import find_norms
from ttft_bench.engine.finetune import Engine, Settings
from ttft_bench.engine.model import wrap_model
from ttft_bench.engine.schedule import Reuse, build_schedule

STEPS = build_schedule([0, 1, 1, 2, 0], Reuse(2))
SEQUENCES = {item: torch.arange(1 + item, 30 + item) for item in range(3)}
FAMILIES = ["gpt2", "llama", "gpt-neox", "qwen2", "phi"]


def all_norms(module):
    return {name for name, part in module.named_modules() if "norm" in type(part).__name__.lower()}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_norm_of_every_family_is_found_if_it_is_trained(family):
    module = build(family, tied=True)
    trained = list(module.parameters())
    assert set(find_norms(module, trained)) == all_norms(module) != set()
    frozen = sorted(all_norms(module))[0]
    last = list(module.get_submodule(frozen).parameters())[-1]
    fewer = find_norms(module, [p for p in trained if p is not last])
    assert set(fewer) == all_norms(module) - {frozen}, "weight and bias must both be trained"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_taking_norms_apart_changes_nothing_but_rounding(family, precision):
    found = []
    for norms in (True, False):
        model = wrap_model(build(family, tied=False), Numbers(257), name=family, precision=precision)
        start = weights(model.module)
        engine = Engine(model, Settings(lr=1e-3), backend="compiled", options=Options(compile=False, norms=norms))
        assert engine.backend.name == "compiled" and bool(engine.backend.code.norms) is norms
        with engine.adaptation() as adaptation:
            adaptation.advance(STEPS, SEQUENCES)
            found.append(weights(model.module))
        assert torch.equal(weights(model.module), start)
    limit = {"fp32": 1e-4, "bf16": 0.05}[precision]
    assert (found[0] - found[1]).norm() <= limit * (found[1] - start).norm()


def test_their_gradients_are_those_of_autograd():
    module = build("gpt2", tied=True)
    model = wrap_model(module, Numbers(257), name="gpt2", precision="fp32")
    ids = SEQUENCES[0][None]
    wanted = torch.autograd.grad(module(input_ids=ids, labels=ids).loss, list(module.parameters()))
    backend = CompiledBackend(model, Settings(), Options(compile=False))
    backend.gradient(backend.prepare([SEQUENCES[0]]))
    places = {
        id(p): g for group in backend.groups for s, g in zip(group.stacks, group.gradients, strict=True) for p in s
    }
    norms = {id(p) for name in backend.code.norms for p in module.get_submodule(name).parameters()}
    assert norms
    for parameter, exact in zip(module.parameters(), wanted, strict=True):
        if id(parameter) in norms:
            torch.testing.assert_close(places[id(parameter)], exact, rtol=1e-4, atol=1e-7)


class _OffsetNorm(nn.LayerNorm):
    """As some families have it: the weight counts from 1."""

    def forward(self, x):
        return nn.functional.layer_norm(x, self.normalized_shape, 1 + self.weight, self.bias)


class _Gate(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return x * torch.sigmoid(self.weight * x)


class _Channels(nn.Module):
    """Fits the model's own inputs only."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        assert x.shape[1] == 8, "a length of its own"
        return self.weight * x


@pytest.mark.parametrize("other", [_OffsetNorm(32), _Gate(32), _Channels(32)], ids=lambda part: type(part).__name__)
def test_what_is_not_a_scale_times_a_norm_stays_whole(other):
    module = build("gpt2", tied=True)
    width = module.config.n_embd
    module.transformer.h[0].ln_1 = type(other)(width)
    found = find_norms(module, list(module.parameters()))
    assert set(found) == all_norms(module) - {"transformer.h.0.ln_1"}


def test_a_norm_that_two_layers_share_stays_whole():
    module = build("gpt2", tied=True)
    module.transformer.h[1].ln_1 = module.transformer.h[0].ln_1
    names = find_norms(module, list(module.parameters()))
    assert not {"transformer.h.0.ln_1", "transformer.h.1.ln_1"} & set(names)
