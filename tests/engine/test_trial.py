"""What was built is compared with the model's own pass before it is used: a wrong gradient is found, and named."""

from __future__ import annotations

import warnings

import pytest
import torch
import transformers

from families import FAMILIES, NO_IDS, Numbers, build
from ttft_bench.engine import buckets
from ttft_bench.engine.compiled import CompiledBackend, Options, trial
from ttft_bench.engine.compiled import backend as compiled_backend
from ttft_bench.engine.compiled.direct import Sink
from ttft_bench.engine.compiled.norms import _Scaled
from ttft_bench.engine.compiled.skeleton import varying_rotation
from ttft_bench.engine.eager import IGNORED
from ttft_bench.engine.finetune import Engine, Settings
from ttft_bench.engine.lanes import open_lanes
from ttft_bench.engine.model import state_hash, wrap_model
from ttft_bench.errors import BackendError

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


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 0.02), ("bf16", 0.3)])
def test_a_gradient_of_another_size_is_found(precision, limit, monkeypatch):
    real = Sink.put

    def scaled(self, index, above, x, transposed):
        real(self, index, above * (1 + limit if index == 1 else 1), x, transposed)

    monkeypatch.setattr(Sink, "put", scaled)
    with pytest.warns(RuntimeWarning, match="differs from the model's own"):
        warm_up(model_of("gpt2", precision))


@pytest.mark.parametrize(("noise", "scale", "right"), [(0.15, 1.5, True), (0.15, 1.7, False), (0.2, 0.0, False)])
def test_half_precision_may_be_as_far_off_as_it_is_by_itself_and_no_gradient_may_be_lost(
    noise, scale, right, monkeypatch
):
    real, put = trial._backward, Sink.put

    def noisy(model, tokens, parameters, use, exact):
        real(model, tokens, parameters, lambda p, g: use(p, g if exact else (1 + noise) * g), exact)

    def scaled(self, index, above, x, transposed):
        put(self, index, above * (scale if index == 1 else 1), x, transposed)

    monkeypatch.setattr(trial, "_backward", noisy)
    monkeypatch.setattr(Sink, "put", scaled)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        engine = warm_up(model_of("gpt2", "bf16"))
    assert engine.backend.name == ("compiled" if right else "eager")
    assert ["differs from the model's own" in str(one.message) for one in found] == ([] if right else [True])


def test_the_own_pass_is_in_fp32_and_only_half_precision_takes_a_second_one(monkeypatch):
    passes = []
    real = trial._backward
    monkeypatch.setattr(trial, "_backward", lambda *args, exact: (passes.append(exact), real(*args, exact))[1])
    for precision, expected in (("fp32", [True]), ("bf16", [True, False])):
        passes.clear()
        warm_up(model_of("llama", precision))
        assert passes == expected


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


def test_gradients_that_lie_about_are_not_taken_for_the_models_own():
    """Of a backward pass before, whoever made it; they stay."""
    model = model_of("llama")
    model.module(input_ids=SEQUENCE[None], labels=SEQUENCE[None]).loss.backward()
    before = {name: p.grad.clone() for name, p in model.module.named_parameters()}
    assert warm_up(model).backend.name == "compiled"
    assert all(torch.equal(p.grad, before[name]) for name, p in model.module.named_parameters())


def test_an_engine_may_be_compiled_after_an_eager_one():
    model = model_of("gpt2")
    Engine(model, backend="eager").warm_up([SEQUENCE])
    assert warm_up(model).backend.name == "compiled"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradients_of_adapters_are_found_behind_the_zeros_that_they_begin_with(precision, monkeypatch):
    model = model_of("llama", precision)
    spec = Settings(trainable="lora[r=2]")
    backend = CompiledBackend(model, spec, PLAIN)
    names = {id(p): name for name, p in model.module.named_parameters()}
    before = [group.weights.clone() for group in backend.groups]
    shadows = [group.shadow.clone() for group in backend.groups]
    real = trial.check_gradients
    seen = []

    def damage(model, tokens, gradients):
        seen.extend(names[id(p)] for p in gradients if not gradients[p].any())
        for parameter in gradients:
            if "lora_A" in names[id(parameter)]:
                gradients[parameter].zero_()
        real(model, tokens, gradients)

    monkeypatch.setattr(compiled_backend, "check_gradients", damage)
    with pytest.raises(BackendError, match=r"its gradient of \S*lora_A\S* differs"):
        backend.prepare([SEQUENCE])
    assert not seen, "some gradients were zero, and could have been anything"
    assert all(torch.equal(group.weights, kept) for group, kept in zip(backend.groups, before, strict=True))
    assert all(torch.equal(group.shadow, kept) for group, kept in zip(backend.groups, shadows, strict=True))


def test_without_memory_for_it_nothing_is_compared_and_that_is_said(monkeypatch):
    def scarce(*args, real=trial._loss):
        if torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*args)

    monkeypatch.setattr(trial, "_loss", scarce)
    with pytest.warns(RuntimeWarning, match="no memory was left to compare") as found:
        engine = warm_up(model_of("gpt2"))
    assert engine.backend.name == "compiled" and len(found) == 1


def test_lanes_say_once_why_they_are_not_compiled(monkeypatch):
    lose(monkeypatch, "norms")
    lanes = open_lanes(model_of("gpt2"), Settings(), 3, backend="compiled", options=PLAIN)
    with pytest.warns(RuntimeWarning, match="differs from the model's own") as found:
        for lane in lanes:
            with lane.active() as engine:
                engine.warm_up([SEQUENCE])
    assert len(found) == 1 and {lane.engine.backend.name for lane in lanes} == {"eager"}


@pytest.mark.parametrize("family", ["falcon", "olmo3", "gemma3"])
def test_attention_and_rotations_of_a_models_own_stay_as_they_are(family):
    """Falcon adds a mask of its own, the others turn layer types by different angles."""
    module = unusual(family)
    model = wrap_model(module, Numbers(257), name=family, precision="fp32")
    assert warm_up(model).backend.name == "compiled"


def unusual(family):
    common = {"vocab_size": 257, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, **NO_IDS}
    longer = {**common, "intermediate_size": 48, "max_position_embeddings": 64, "num_key_value_heads": 1}
    kinds = {
        "falcon": (transformers.FalconForCausalLM, transformers.FalconConfig, common),
        "olmo3": (transformers.Olmo3ForCausalLM, transformers.Olmo3Config, {**longer, "sliding_window": 16}),
        "gemma3": (transformers.Gemma3ForCausalLM, transformers.Gemma3TextConfig, {**longer, "head_dim": 16}),
    }
    module, config, sizes = kinds[family]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return module(config(**sizes)).eval()


def test_only_the_first_tokens_have_labels_in_the_trial(monkeypatch):
    monkeypatch.setattr(trial, "TRIAL_TOKENS", 16)
    model, tokens = model_of("gpt2"), torch.zeros(2, 3, 40, dtype=torch.int64)
    short = trial.trial_tokens(model, tokens)
    assert short.shape == tokens.shape and torch.equal(short, trial.trial_tokens(model, tokens)), "the same every time"
    assert (short[1, :, 16:] == IGNORED).all() and torch.equal(short[1, :, :15], short[0, :, 1:16])
    assert short[0].unique().numel() > 80 and short[0].min() >= 0 and short[0].max() < 257
    assert len({tuple(row) for row in short[0].tolist()}) == 3, "rows differ"
    # The module's own pass sees only those tokens, and yet has the same gradient.
    assert warm_up(model_of("gpt2")).backend.name == "compiled"
    lose(monkeypatch, "norms")
    with pytest.warns(RuntimeWarning, match="differs from the model's own"):
        warm_up(model_of("gpt2"))


def test_padding_has_no_part_in_the_trial():
    """The row of an embedding's padding has no gradient in the module's own pass."""
    config = transformers.LlamaConfig(
        **{**FAMILIES["llama"][1], **NO_IDS, "vocab_size": 5, "pad_token_id": 4}, tie_word_embeddings=True
    )
    model = wrap_model(transformers.LlamaForCausalLM(config).eval(), Numbers(5), name="llama", precision="fp32")
    engine = Engine(model, Settings(), backend="compiled", options=PLAIN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine.warm_up([SEQUENCE % 4])
    assert engine.backend.name == "compiled"


def test_half_of_a_gradient_is_found_in_half_precision(monkeypatch):
    put, scale = Sink.put, Sink.scale
    monkeypatch.setattr(Sink, "put", lambda self, i, above, x, t: put(self, i, above / 2, x, t))
    monkeypatch.setattr(Sink, "scale", lambda self, i, above, x: scale(self, i, above / 2, x))
    with pytest.warns(RuntimeWarning, match="differs from the model's own by 0.5"):
        warm_up(model_of("llama", "bf16"))


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_rotations_that_depend_on_the_length_are_not_padded(kind):
    scaling = {"rope_type": kind, "rope_theta": 1e4, "factor": 2.0, "original_max_position_embeddings": 32}
    if kind == "longrope":
        scaling |= {"short_factor": [1.0] * 8, "long_factor": [3.0] * 8}
    config = transformers.LlamaConfig(**{**FAMILIES["llama"][1], **NO_IDS}, rope_parameters=scaling)
    model = wrap_model(transformers.LlamaForCausalLM(config).eval(), Numbers(257), name="llama", precision="fp32")
    with pytest.warns(RuntimeWarning, match=rf"rotary embedding \({kind}\) changes with the length; .*eager"):
        engine = Engine(model, Settings(), backend="compiled", options=PLAIN)
    assert engine.backend.name == "eager"


def test_kinds_of_layers_may_rotate_differently():
    module = build("llama", tied=True)
    assert varying_rotation(module) is None
    module.model.rotary_emb.rope_type = {"full_attention": "default", "sliding_attention": "dynamic"}
    assert varying_rotation(module) == "dynamic"


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
