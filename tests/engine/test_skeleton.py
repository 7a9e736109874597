"""The compiled skeleton: which products are stacked, where their weights lie, what is looked up."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, LlamaConfig

from families import Numbers, build, weights
from ttft_bench.engine.compiled import CompiledBackend, Options
from ttft_bench.engine.compiled.attention import choose_attention
from ttft_bench.engine.compiled.skeleton import find_siblings, make_skeleton, prepare_rotations
from ttft_bench.engine.finetune import Engine, Settings
from ttft_bench.engine.lanes import open_lanes
from ttft_bench.engine.model import wrap_model
from ttft_bench.engine.schedule import Reuse, build_schedule

STEPS = build_schedule([0, 1, 1, 2, 0], Reuse(2))
SEQUENCES = {item: torch.arange(1 + item, 30 + item) for item in range(3)}
PROJECTIONS = ["q_proj", "k_proj", "v_proj"]


def names_of(groups, layer):
    return [[name.rpartition(".")[2] for name in group] for group in groups if f"layers.{layer}." in group[0]]


@pytest.mark.parametrize("family", ["llama", "qwen2", "phi"])
def test_layers_that_read_the_same_tensor_are_found(family):
    module = build(family, tied=True)
    groups = find_siblings(module, list(module.parameters()))
    both = [PROJECTIONS, ["gate_proj", "up_proj"]]
    assert names_of(groups, 0) == names_of(groups, 1) == (both[:1] if family == "phi" else both)
    frozen = module.get_submodule(groups[0][1]).weight
    fewer = find_siblings(module, [p for p in module.parameters() if p is not frozen])
    assert names_of(fewer, 1) == names_of(groups, 1)
    assert PROJECTIONS not in names_of(fewer, 0), "a stack must be trained as a whole"


@pytest.mark.parametrize("family", ["gpt2", "gpt-neox"])
def test_models_that_stack_by_themselves_have_nothing_to_find(family):
    module = build(family, tied=True)
    assert find_siblings(module, list(module.parameters())) == []


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "phi"])
def test_stacked_products_change_nothing_but_rounding(family, precision):
    found = []
    for stack in (True, False):
        model = wrap_model(build(family, tied=False), Numbers(257), name=family, precision=precision)
        engine = Engine(model, Settings(lr=1e-3), backend="compiled", options=Options(compile=False, stack=stack))
        assert engine.backend.name == "compiled" and bool(engine.backend.code.siblings) is stack
        with engine.adaptation() as adaptation:
            adaptation.advance(STEPS, SEQUENCES)
            found.append(weights(model.module))
    change = found[1] - weights(build(family, tied=False))
    assert (found[0] - found[1]).norm() <= {"fp32": 1e-4, "bf16": 0.05}[precision] * change.norm()


def test_stacked_weights_lie_below_each_other_and_stay_the_models_own():
    model = wrap_model(build("qwen2", tied=True), Numbers(257), name="qwen2", precision="fp32")
    before = [p.detach().clone() for p in model.module.parameters()]
    backend = CompiledBackend(model, Settings(), Options(compile=False))
    for names in backend.code.siblings:
        parts = [model.module.get_submodule(name) for name in names]
        for kind in {"weight", "bias"} if parts[0].bias is not None else {"weight"}:
            tensors = [getattr(part, kind) for part in parts]
            ends = [tensor.data_ptr() + 4 * tensor.numel() for tensor in tensors]
            assert [tensor.data_ptr() for tensor in tensors[1:]] == ends[:-1]
    assert all(torch.equal(a, b) for a, b in zip(before, model.module.parameters(), strict=True))


def test_a_pass_that_breaks_off_leaves_no_shares_for_the_next():
    model = wrap_model(build("llama", tied=True), Numbers(257), name="llama", precision="fp32")
    backend = CompiledBackend(model, Settings(), Options(compile=False))
    batch = backend.prepare([SEQUENCES[0]])
    loss = float(backend.gradient(batch))
    leader = [part for part in _skeleton(backend).modules() if type(part).__name__ == "Leader"][-1]
    leader.box.append(torch.zeros(1))
    assert float(backend.gradient(batch)) == loss and leader.box == []


def _skeleton(backend):
    return dict(zip(backend.code.prepare.__code__.co_freevars, backend.code.prepare.__closure__, strict=True))[
        "skeleton"
    ].cell_contents


def test_rotations_are_looked_up_for_prepared_lengths_only():
    module = build("llama", tied=True)
    skeleton = make_skeleton(module)
    rotation, original = skeleton.model.rotary_emb, module.model.rotary_emb
    x, positions = torch.zeros(1, 7, 32), torch.arange(7)[None]
    asked = []
    original.register_forward_hook(lambda *_: asked.append(1))
    rotation.original.register_forward_hook(lambda *_: asked.append(2))
    prepare_rotations(skeleton, 7, torch.device("cpu"))
    prepare_rotations(skeleton, 7, torch.device("cpu"))
    for ours, theirs in zip(rotation(x, positions), original(x, positions), strict=True):
        assert torch.equal(ours, theirs)
    rotation(x[:, :5], positions[:, :5])
    assert asked == [2, 1, 2], "once to prepare, once by ourselves, once for the length nobody prepared"


def test_attention_on_a_gpu_repeats_its_bits():
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    plain = GPT2Config(n_embd=128, n_head=2)
    odd = LlamaConfig(hidden_size=160, num_attention_heads=2, num_key_value_heads=2)
    for config in (plain, odd):
        config._attn_implementation = "sdpa"
    assert choose_attention("auto", plain, cuda, True) == "flex"
    assert choose_attention("auto", plain, cuda, False) == choose_attention("auto", odd, cuda, True) == "math"
    assert choose_attention("auto", plain, cpu, True) == "sdpa"
    assert choose_attention("cudnn", plain, cuda, True) == "cudnn"
    plain._attn_implementation = "eager"
    assert choose_attention("flex", plain, cuda, True) == "model"


def test_lanes_whose_sums_have_no_fixed_order_say_so(monkeypatch):
    model = wrap_model(build("gpt2", tied=True), Numbers(257), name="gpt2", precision="fp32")
    open_lanes(model, None, 2, backend="eager")
    from ttft_bench.engine.eager import EagerBackend

    real = EagerBackend.__init__

    def unordered(self, *args):
        real(self, *args)
        self.repeatable = False

    monkeypatch.setattr(EagerBackend, "__init__", unordered)
    open_lanes(model, None, 1, backend="eager")
    with pytest.warns(RuntimeWarning, match="2 lanes on the eager backend.*last digits"):
        open_lanes(model, None, 2, backend="eager")
