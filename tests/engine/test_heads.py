"""Attention layers rewritten from their product to their output: which are found, and that nothing changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    CohereConfig,
    CohereForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    NemotronConfig,
    NemotronForCausalLM,
    OlmoConfig,
    OlmoForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from families import Numbers, build, weights
from interpreted import check_interpreted
from ttft_bench.engine.compiled import CompiledBackend, Options
from ttft_bench.engine.compiled.heads import Attention, Layout, find_attention, from_heads, to_heads
from ttft_bench.engine.compiled.skeleton import find_siblings
from ttft_bench.engine.finetune import Engine, Settings
from ttft_bench.engine.model import wrap_model
from ttft_bench.engine.schedule import Batch, Reuse, Step, build_schedule

HERE = Path(__file__).resolve().parent
STEPS = build_schedule([0, 1, 1, 2, 0], Reuse(2))
SEQUENCES = {item: torch.arange(1 + item, 30 + item) for item in range(3)}
SIZES = {
    "vocab_size": 257,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def test_kernels_compute_what_the_plain_form_does():
    check_interpreted(HERE / "interpreted_heads.py")


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize(("queries", "keys", "width"), [(4, 2, 6), (3, 3, 2), (6, 1, 4)])
def test_the_way_back_is_the_derivative(rows, queries, keys, width):
    generator = torch.Generator().manual_seed(0)
    length, columns = 5, (queries + 2 * keys) * width
    product, cos, sin, *above = (
        torch.randn(shape, generator=generator, dtype=torch.float32)
        for shape in ((rows, length, columns), *2 * [(1, length, width)], *3 * [(rows, queries, length, width)])
    )
    product.requires_grad_()
    parts = to_heads(product, cos, sin, queries, keys).transpose(2, 3)
    (expected,) = torch.autograd.grad([*parts], product, above)
    torch.testing.assert_close(from_heads(*above, cos, sin, keys), expected, rtol=1e-5, atol=1e-5)


def find(module):
    return find_attention(module, find_siblings(module, list(module.parameters())))


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_plain_rotary_attention_is_found_in_every_layer(family):
    module = build(family, tied=True)
    config = module.config
    width = config.hidden_size // config.num_attention_heads
    layout = Layout(config.num_attention_heads, config.num_key_value_heads, width)
    assert find(module) == {f"model.layers.{n}.self_attn": layout for n in range(config.num_hidden_layers)}
    assert layout.columns == config.hidden_size + 2 * config.num_key_value_heads * width


@pytest.mark.parametrize("family", ["gpt2", "gpt-neox", "phi"])
def test_other_families_have_nothing_to_find(family):
    assert find(build(family, tied=True)) == {}


def test_attention_that_does_something_else_is_left_alone():
    torch.manual_seed(0)
    assert find(LlamaForCausalLM(LlamaConfig(**SIZES))), "these sizes would do"
    # Norms of queries and keys; rotation of neighbours instead of halves.
    assert find(Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=8))) == {}
    assert find(CohereForCausalLM(CohereConfig(**SIZES, pad_token_id=0))) == {}

    # Clipped queries, keys and values, however high the clip; cosines of a part of each head.
    assert find(OlmoForCausalLM(OlmoConfig(**SIZES, clip_qkv=None)))
    for clip in (0.1, 8.0, 100.0):
        assert find(OlmoForCausalLM(OlmoConfig(**SIZES, clip_qkv=clip))) == {}
    assert find(NemotronForCausalLM(NemotronConfig(**SIZES, partial_rotary_factor=0.5))) == {}

    module = LlamaForCausalLM(LlamaConfig(**SIZES))
    layers = [layer.self_attn for layer in module.model.layers]
    plain = layers[0].forward

    def limited(*args, **kwargs):
        output, seen = plain(*args, **kwargs)
        return 2 * torch.tanh(output / 2), seen

    layers[0].forward = limited
    layers[1].scaling *= 1.5
    assert list(find(module)) == ["model.layers.1.self_attn"], "a scaling of its own is heeded, other arithmetic not"
    layers[1].extra = torch.nn.Identity()
    assert find(module) == {}


@pytest.mark.parametrize("cap", [None, 50.0])
def test_a_limit_on_scores_is_seen(cap):
    def capped(module, query, key, value, attention_mask, scaling, **_):
        shared = query.shape[1] // key.shape[1]
        scores = scaling * query @ key.repeat_interleave(shared, 1).transpose(-1, -2)
        scores = scores if cap is None else cap * torch.tanh(scores / cap)
        later = torch.ones_like(scores, dtype=torch.bool).triu(1)
        seen = scores.masked_fill(later, float("-inf")).softmax(-1) @ value.repeat_interleave(shared, 1)
        return seen.transpose(1, 2), None

    AttentionInterface.register("capped", capped)
    AttentionMaskInterface.register("capped", lambda *args, **kwargs: None)
    torch.manual_seed(0)
    module = LlamaForCausalLM(LlamaConfig(**SIZES))
    module.config._attn_implementation = "capped"
    assert len(find(module)) == (0 if cap else 2)


@pytest.mark.parametrize(
    ("family", "precision", "compiled", "rows"),
    [
        ("llama", "fp32", True, 1),
        ("llama", "bf16", False, 1),
        ("llama", "fp32", False, 2),
        ("qwen2", "fp32", False, 1),
        ("qwen2", "bf16", False, 2),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # the compiler's own
def test_steps_change_nothing_but_rounding(family, precision, compiled, rows):
    found = []
    steps = [Step(Batch((0, 1)), True), Step(Batch((0, 1)), False), Step(Batch((2, 0)), True)] if rows == 2 else STEPS
    for heads in (True, False):
        model = wrap_model(build(family, tied=False), Numbers(257), name=family, precision=precision)
        settings = Settings(lr=1e-3, batch=rows)
        engine = Engine(model, settings, backend="compiled", options=Options(compile=compiled, heads=heads))
        with engine.adaptation() as adaptation:
            adaptation.advance(steps, SEQUENCES)
            found.append(weights(model.module))
        assert engine.backend.name == "compiled"
    change = found[1] - weights(build(family, tied=False))
    assert (found[0] - found[1]).norm() <= {"fp32": 1e-4, "bf16": 0.05}[precision] * change.norm()


def test_the_rewritten_layer_stands_in_the_skeleton_and_not_in_the_module():
    model = wrap_model(build("llama", tied=True), Numbers(257), name="llama", precision="fp32")
    backend = CompiledBackend(model, Settings(), Options(compile=False))
    prepare = backend.code.prepare
    skeleton = next(cell.cell_contents for cell in prepare.__closure__ if hasattr(cell.cell_contents, "modules"))
    assert sum(isinstance(part, Attention) for part in skeleton.modules()) == model.module.config.num_hidden_layers
    assert not any(isinstance(part, Attention) for part in model.module.modules())
    for other in (Options(compile=False, heads=False), Options(compile=False, attention="model")):
        backend = CompiledBackend(model, Settings(), other)
        prepare = backend.code.prepare
        skeleton = next(cell.cell_contents for cell in prepare.__closure__ if hasattr(cell.cell_contents, "modules"))
        assert not any(isinstance(part, Attention) for part in skeleton.modules())
