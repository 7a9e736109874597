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
FAMILIES = ["gpt2", "llama", "gpt-neox", "qwen2", "phi", "qwen3", "olmo2"]


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


def gradients_of_norms(family, precision, batch=1, **options):
    model = wrap_model(build(family, tied=False), Numbers(257), name=family, precision=precision)
    backend = CompiledBackend(model, Settings(batch=batch), Options(compile=False, **options))
    assert bool(backend.code.norms) is options.get("norms", True)
    backend.gradient(backend.prepare([SEQUENCES[item] for item in range(batch)]))
    places = [(s[0], g) for group in backend.groups for s, g in zip(group.stacks, group.gradients, strict=True)]
    names = {id(parameter): name for name, parameter in model.module.named_parameters()}
    return {names[id(p)]: g.clone() for p, g in places if names[id(p)].rpartition(".")[0] in all_norms(model.module)}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("settings", [{}, {"batch": 2}, {"split": False}], ids=str)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_their_gradients_are_those_of_autograd(family, settings, precision):
    ours = gradients_of_norms(family, precision, **settings)
    theirs = gradients_of_norms(family, precision, norms=False, **settings)
    assert ours.keys() == theirs.keys() and len(ours) >= len(all_norms(build(family, tied=False)))
    for name, exact in theirs.items():
        assert exact.any(), name
        # Two norms that round in bf16 themselves (OLMo's, Qwen3's of heads) round once more when they are taken apart.
        limit = 1e-5 if precision == "fp32" else 3e-2
        assert (ours[name] - exact).norm() <= limit * exact.norm(), name


@pytest.mark.parametrize("family", FAMILIES)
def test_whole_runs_are_the_same(family):
    found = []
    for norms in (True, False):
        model = wrap_model(build(family, tied=True), Numbers(257), name=family, precision="fp32")
        start = weights(model.module)
        settings = Settings(lr=1e-2, optimizer="sgd")
        engine = Engine(model, settings, backend="compiled", options=Options(compile=False, norms=norms))
        assert engine.backend.name == "compiled"
        with engine.adaptation() as adaptation:
            adaptation.advance(STEPS, SEQUENCES)
            found.append(weights(model.module))
        assert torch.equal(weights(model.module), start)
    assert (found[0] - found[1]).norm() <= 1e-5 * (found[1] - start).norm()


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


class _GatedNorm(nn.LayerNorm):
    """As models of state spaces have it: what it is called with decides."""

    def forward(self, x, gate=None):
        found = super().forward(x)
        return found if gate is None else found * torch.sigmoid(gate)


@pytest.mark.parametrize("by_keyword", [True, False])
def test_a_norm_that_is_given_more_than_one_tensor_stays_whole(by_keyword):
    module = build("gpt2", tied=True)
    block, width = module.transformer.h[0], module.config.n_embd
    block.ln_1 = _GatedNorm(width)

    class Caller(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x, gate=x) if by_keyword else self.inner(x, x)

    assert "transformer.h.0.ln_1" in find_norms(module, list(module.parameters()))
    block.ln_1 = Caller(block.ln_1)
    found = find_norms(module, list(module.parameters()))
    assert set(found) == {name for name in all_norms(module) if not name.startswith("transformer.h.0.ln_1")}


def test_a_norm_of_two_names_and_a_weight_for_every_width_stay_whole():
    module = build("gpt2", tied=True)
    module.transformer.h[0].again = module.transformer.h[0].ln_1
    module.transformer.h[1].ln_1 = _Wide()
    found = find_norms(module, list(module.parameters()))
    assert not {"transformer.h.0.ln_1", "transformer.h.0.again", "transformer.h.1.ln_1"} & set(found)
    assert "transformer.ln_f" in found


class _Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.weight * x
