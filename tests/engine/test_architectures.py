"""Any causal language model: tiny random ones of five families, tied and untied, with and without a start token."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer

from families import FAMILIES, Numbers, build, weights
from tiny import write_tokenizer
from ttft_bench.engine.compiled import CompiledBackend, Options
from ttft_bench.engine.compiled.road import SplitRoad
from ttft_bench.engine.finetune import Engine, Settings
from ttft_bench.engine.model import state_hash, wrap_model
from ttft_bench.engine.schedule import Batch, Reuse, Step, build_schedule
from ttft_bench.engine.score import make_target, score, training_sequence

TEXTS = ["the quick brown fox", "jumps over", "the lazy dog, ünï"]
STEPS = build_schedule([0, 1, 1, 2, 0], Reuse(2))


@pytest.fixture(scope="module", params=[True, False], ids=["bos", "no-bos"])
def tokenizer(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    if request.param:
        write_tokenizer(folder)
    else:
        write_tokenizer(folder, bos=None, specials=())
    return AutoTokenizer.from_pretrained(folder)


def plain_loop(module, sequences, steps, lr):
    """The textbook loop with gradient reuse, on a copy."""
    module = copy.deepcopy(module)
    optimizer = torch.optim.Adam(module.parameters(), lr=lr, fused=True)
    for step in steps:
        if step.fresh:
            optimizer.zero_grad()
            sequence = sequences[step.item]
            cross_entropy(module(input_ids=sequence[None, :-1]).logits[0], sequence[1:]).backward()
        optimizer.step()
    return module


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_loop_equals_a_plain_reference_and_restores(family, tied, tokenizer):
    model = wrap_model(build(family, tied), tokenizer, name=family)
    assert (model.start_id is None) == (tokenizer.bos_token is None)
    sequences = {i: training_sequence(model, text, 64) for i, text in enumerate(TEXTS)}
    reference = plain_loop(model.module, sequences, STEPS, 1e-3)
    before = state_hash(model.module)
    target = make_target(model, "some prompt text", 64)
    expected = score(model, target)
    with Engine(model, Settings(lr=1e-3)).adaptation() as adaptation:
        adaptation.advance(STEPS, sequences)
        assert state_hash(model.module) == state_hash(reference)
        assert score(model, target) != expected
    assert state_hash(model.module) == before and score(model, target) == expected


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_compiled_road_fits_every_family(family, tied):
    module = build(family, tied)
    model = wrap_model(module, Numbers(257), name=family)
    sequences = {i: torch.arange(3 * i + 1, 3 * i + 20) % 257 for i in range(3)}
    reference = weights(plain_loop(module, sequences, STEPS, 1e-3))
    start, before = weights(module), state_hash(module)
    engine = Engine(model, Settings(lr=1e-3), backend="compiled", options=Options(compile=False))
    assert isinstance(engine.backend.road, SplitRoad)
    with engine.adaptation() as adaptation:
        adaptation.advance(STEPS, sequences)
        # Adam divides by its own rounding where a gradient is zero in exact arithmetic: compared by norm.
        assert (weights(module) - reference).norm() / (reference - start).norm() < 1e-2
        assert (weights(module) - reference).norm() / reference.norm() < 1e-4
    assert engine.backend.name == "compiled" and state_hash(module) == before


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # the compiler's own
@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_step_is_traced_whole_and_attends_without_a_mask(family, split, monkeypatch):
    masks, graphs = [], []

    def remember(graph, inputs):
        graphs.append(graph)
        masks.extend(n.kwargs.get("attn_mask") for n in graph.graph.nodes if "scaled_dot" in str(n.target))
        return graph.forward

    def trace(self, function):
        if "loss" not in function.__name__:
            return function
        return torch.compile(function, dynamic=False, fullgraph=True, backend=remember)

    monkeypatch.setattr(CompiledBackend, "_wrap", trace)
    model = wrap_model(build(family, tied=True), Numbers(257), name=family, precision="bf16")
    backend = CompiledBackend(model, Settings(), Options(split=split))
    backend.gradient(backend.prepare([torch.arange(1, 30)]))
    assert len(graphs) == 1 and masks == [None, None]


@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_batch_is_the_mean_of_its_items_whatever_their_lengths(family):
    module = build(family, tied=False)
    model = wrap_model(module, Numbers(257), name=family)
    sequences = {i: torch.arange(1, 8 + 5 * i) for i in range(3)}
    losses = [cross_entropy(module(input_ids=s[None, :-1]).logits[0], s[1:]) for s in sequences.values()]
    gradients = torch.autograd.grad(torch.stack(losses).mean(), list(module.parameters()))
    engine = Engine(model, Settings(batch=3, optimizer="sgd", lr=1.0))
    start = [p.detach().clone() for p in module.parameters()]
    with engine.adaptation() as adaptation:
        adaptation.advance([Step(Batch((0, 1, 2)), True)], sequences)
        assert adaptation.losses[0] == pytest.approx(float(torch.stack(losses).mean().detach()), rel=1e-6)
        for before, after, gradient in zip(start, module.parameters(), gradients, strict=True):
            torch.testing.assert_close(before - after.detach(), gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("trainable", ["last[k=1]", "bias+norm", "lora[r=2,alpha=4]"])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_only_the_trainable_set_moves(family, trainable):
    module = build(family, tied=family == "gpt2")
    model = wrap_model(module, Numbers(257), name=family)
    engine = Engine(model, Settings(lr=1e-2, trainable=trainable))
    start, before = {n: p.detach().clone() for n, p in module.named_parameters()}, state_hash(module)
    with engine.adaptation() as adaptation:
        adaptation.advance([Step(0, True), Step(0, True)], {0: torch.arange(1, 30)})
        moved = {name for name, p in module.named_parameters() if not torch.equal(p, start[name])}
    assert state_hash(module) == before and moved
    head = next(n for n, p in module.named_parameters() if p is module.get_output_embeddings().weight)
    if trainable == "bias+norm":
        assert all("bias" in name or "norm" in name or "ln_" in name for name in moved)
    elif trainable.startswith("lora"):
        assert all("lora_" in name for name in moved)
    else:
        assert not any(".0." in name for name in moved) and any(".1." in name for name in moved)
        assert (head in moved) == (family != "gpt2"), "a tied head is the embedding of the whole model"
        assert any(name.count(".") <= 2 and ("norm" in name or "ln_f" in name) for name in moved)


def test_adapters_change_nothing_at_first_and_do_not_depend_on_what_was_drawn_before():
    hashes = []
    for draws in (0, 5):
        module = build("llama", tied=False)
        logits = module(input_ids=torch.arange(9)[None]).logits
        torch.rand(draws)
        state = torch.get_rng_state()
        Engine(wrap_model(module, Numbers(257), name="m"), Settings(trainable="lora[targets=q_proj+v_proj]"))
        assert torch.equal(state, torch.get_rng_state()), "the global generator was touched"
        assert torch.equal(module(input_ids=torch.arange(9)[None]).logits, logits)
        hashes.append(state_hash(module))
    assert hashes[0] == hashes[1]


def test_impossible_trainable_sets_say_what_there_is():
    from ttft_bench.errors import UsageError

    model = wrap_model(build("llama", tied=False), Numbers(257), name="m")
    with pytest.raises(UsageError, match=r"last\[k=3\].* has 2 blocks"):
        Engine(model, Settings(trainable="last[k=3]"))
    with pytest.raises(UsageError, match=r"no layer of LlamaForCausalLM fits.*q_proj"):
        Engine(model, Settings(trainable="lora[targets=c_attn]"))
    Engine(model, Settings(trainable="lora[r=2]"))
    with pytest.raises(UsageError, match="load it anew"):
        Engine(model, Settings(trainable="lora[r=4]"))


@pytest.mark.parametrize("backend", ["eager", "compiled"])
@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_an_adapted_model_generates_and_is_restored(family, backend):
    module = build(family, tied=True)
    model = wrap_model(module, Numbers(257), name=family)
    engine = Engine(model, Settings(lr=1e-2), backend=backend, options=Options(compile=False))
    before = state_hash(module)
    pattern = torch.arange(40, 48).repeat(4)
    with engine.adapted([Step(0, True)] * 30, {0: pattern}) as adapted:
        found = adapted.generate(pattern[None, :10], max_new_tokens=6, do_sample=False, pad_token_id=0)
    assert found[0].tolist() == pattern[:16].tolist(), "it learned the pattern"
    assert state_hash(module) == before
    with pytest.raises(KeyboardInterrupt), engine.adapted([Step(0, True)], {0: pattern}):
        raise KeyboardInterrupt
    assert state_hash(module) == before
