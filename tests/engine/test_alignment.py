"""Gradients of many documents: what they share does not change what comes out."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from families import FAMILIES, Numbers, build
from ttft_bench.engine import alignment
from ttft_bench.engine.alignment import GradientSketcher
from ttft_bench.engine.compiled import Options
from ttft_bench.engine.finetune import Engine, Settings
from ttft_bench.engine.model import state_hash, wrap_model
from ttft_bench.engine.schedule import build_schedule
from ttft_bench.engine.trainable import select_trainable

SEQUENCES = [torch.arange(3 * i + 1, 3 * i + 2 + length) % 257 for i, length in enumerate([19, 3, 12, 1, 19])]


def alone(module, sequence, weights):
    """The gradient of one document, through the whole model."""
    parameters = select_trainable(module, weights)
    loss = cross_entropy(module(input_ids=sequence[None, :-1]).logits[0].float(), sequence[1:])
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)]


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("weights", ["last[k=1]", "bias+norm", "full"])
def test_documents_that_share_a_pass_have_the_gradients_of_documents_alone(family, tied, weights, monkeypatch):
    monkeypatch.setattr(alignment, "BATCH_TOKENS", 40)  # two batches, the first of two documents
    model = wrap_model(build(family, tied), Numbers(257), name=family)
    before = state_hash(model.module)
    sketcher = GradientSketcher(model, weights, size=256)
    below = len(sketcher._frozen.below)
    assert (below > 0) == (weights == "last[k=1]"), "the frozen blocks, where there are any"
    found = sketcher.sketch_all(SEQUENCES)
    wanted = [sketcher._fold(alone(model.module, sequence, weights)) for sequence in SEQUENCES]
    for one, other in zip(found, wanted, strict=True):
        assert other.norm() > 0
        assert (one - other).norm() / other.norm() < 1e-5
    # The model runs whole again, and nothing was left in it.
    again = [sketcher._fold(alone(model.module, sequence, weights)) for sequence in SEQUENCES]
    assert all(torch.equal(one, other) for one, other in zip(again, wanted, strict=True))
    assert state_hash(model.module) == before
    assert not any("forward" in block.__dict__ or block._forward_pre_hooks for block in sketcher._frozen.below)


def test_an_error_in_the_trained_block_leaves_the_model_whole():
    model = wrap_model(build("llama", True), Numbers(257), name="llama")
    sketcher = GradientSketcher(model, size=256)
    wanted = sketcher.sketch(SEQUENCES[0])
    states = sketcher._frozen.run([SEQUENCES[0][:-1]])
    with pytest.raises(RuntimeError, match="by hand"), sketcher._frozen.replaced_by(states[0]):
        raise RuntimeError("by hand")
    assert torch.equal(sketcher.sketch(SEQUENCES[0]), wanted)


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_an_engine_beside_a_sketcher_trains_what_it_trained(backend):
    model = wrap_model(build("gpt2", True), Numbers(257), name="gpt2")
    engine = Engine(model, Settings(lr=1e-2), backend=backend, options=Options(compile=False))
    sequences, steps = dict(enumerate(SEQUENCES)), build_schedule([0, 1, 0])

    def adapt():
        with engine.adaptation() as adaptation:
            adaptation.advance(steps, sequences)
            return state_hash(model.module)

    expected = adapt()
    sketcher = GradientSketcher(model, size=256)
    first = adapt()
    sketch = sketcher.sketch(SEQUENCES[0])
    assert first == adapt() == expected and all(p.requires_grad for p in model.module.parameters())
    assert torch.equal(sketcher.sketch(SEQUENCES[0]), sketch) and sketch.norm() > 0


def test_a_wrapper_of_a_frozen_block_stays():
    model = wrap_model(build("gpt2", True), Numbers(257), name="gpt2")
    sketcher = GradientSketcher(model, size=256)
    block = sketcher._frozen.below[0]
    calls, inner = [], block.forward
    block.forward = lambda *args, **kwargs: calls.append(1) or inner(*args, **kwargs)
    wrapper = block.forward
    sketcher.sketch(SEQUENCES[0])
    assert calls == [1] and block.forward is wrapper, "once, in the shared pass"


def test_documents_are_batched_by_length_and_no_batch_is_too_large(monkeypatch):
    monkeypatch.setattr(alignment, "BATCH_TOKENS", 40)
    lengths = [5, 30, 8, 19, 100, 1]
    batches = alignment._batches(lengths)
    assert sorted(index for some in batches for index in some) == list(range(6))
    assert batches == [[4], [1], [3, 2], [0, 5]]
    assert alignment._batches([]) == []
