"""The compiled backend against the eager one: same losses, same weights, restored to the bit."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from tiny import write_model
from ttft_bench.engine.compiled import CompiledBackend, Options
from ttft_bench.engine.compiled.attention import NAME
from ttft_bench.engine.compiled.direct import KEEPING, Sink
from ttft_bench.engine.compiled.road import SplitRoad, WholeRoad
from ttft_bench.engine.finetune import Engine, Settings
from ttft_bench.engine.lanes import open_lanes
from ttft_bench.engine.model import load_model, state_hash
from ttft_bench.engine.opening import resolve_backend
from ttft_bench.engine.schedule import Batch, Reuse, Step, build_schedule
from ttft_bench.engine.score import training_sequence
from ttft_bench.errors import BackendError, UsageError

PLAIN = Options(compile=False)
TEXTS = ["the quick brown fox", "jumps over", "the lazy dog, ünï"]


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request, tmp_path_factory):
    """GPT-2 ties its head to the embedding, Llama does not."""
    return write_model(tmp_path_factory.mktemp(request.param) / "m", architecture=request.param)


def weights(model):
    return torch.cat([p.detach().double().reshape(-1) for p in model.module.parameters()])


def adapt(folder, steps, *, backend="compiled", options=PLAIN, precision="fp32", **settings):
    """Final weights, first weights and losses of a run on a model of its own."""
    model = load_model(folder, device="cpu", precision=precision)
    engine = Engine(model, Settings(**settings), backend=backend, options=options)
    assert engine.backend.name == backend
    before, start = state_hash(model.module), weights(model)
    sequences = {i: training_sequence(model, text, 64) for i, text in enumerate(TEXTS)}
    with engine.adaptation() as adaptation:
        adaptation.advance(steps, sequences)
        after = weights(model)
    assert state_hash(model.module) == before
    return after, start, adaptation.losses


STEPS = build_schedule([0, 1, 1, 2, 0], Reuse(2))


@pytest.mark.parametrize("change", [{}, {"split": False}, {"attention": "model"}, {"attention": "math"}])
@pytest.mark.parametrize("settings", [{}, {"optimizer": "adamw[weight_decay=0.1]"}, {"optimizer": "sgd[momentum=0.9]"}])
def test_fp32_equals_eager_whatever_the_optimizer(folder, change, settings):
    options = Options(compile=False, **change)
    theirs, _, their_losses = adapt(folder, STEPS, backend="eager", lr=1e-3, **settings)
    ours, _, losses = adapt(folder, STEPS, options=options, lr=1e-3, **settings)
    assert losses == pytest.approx(their_losses, rel=1e-5)
    assert (ours - theirs).norm() / theirs.norm() < 1e-5


@pytest.mark.parametrize("trainable", ["last", "bias+norm", "lora[r=2]"])
def test_trainable_sets_equal_eager(folder, trainable):
    theirs, start, _ = adapt(folder, STEPS, backend="eager", lr=1e-2, trainable=trainable)
    ours, _, _ = adapt(folder, STEPS, lr=1e-2, trainable=trainable)
    assert (ours - theirs).norm() / (theirs - start).norm() < 1e-3


@pytest.mark.parametrize(
    "steps",
    [
        build_schedule([0, 0, 0, 1], Reuse(3, mode="scale-lr")),
        build_schedule([0, 0, 0, 1], Reuse(3, mode="weighted-loss")),
        (Step(Batch((0, 1)), True), Step(Batch((2,)), True)),
    ],
)
def test_factors_clipping_and_batches_equal_eager(folder, steps):
    settings = {"lr": 1e-2, "optimizer": "sgd", "clip": 0.5, "batch": 2}
    theirs, start, their_losses = adapt(folder, steps, backend="eager", **settings)
    ours, _, losses = adapt(folder, steps, **settings)
    assert losses == pytest.approx(their_losses, rel=1e-5)
    assert (ours - theirs).norm() / (theirs - start).norm() < 1e-4


@pytest.mark.parametrize("options", [PLAIN, Options(compile=False, split=False), Options(compile=False, shadow=False)])
def test_bf16_stays_near_fp32_and_keeps_fp32_weights(folder, options):
    exact, start, _ = adapt(folder, STEPS, backend="eager", lr=1e-3, optimizer="sgd")
    ours, _, _ = adapt(folder, STEPS, options=options, precision="bf16", lr=1e-3, optimizer="sgd")
    assert (ours - exact).norm() / (exact - start).norm() < 0.05


def test_the_same_prompt_again_gives_the_same_bits_whatever_came_between(folder):
    model = load_model(folder, device="cpu", precision="bf16")
    engine = Engine(model, backend="compiled", options=PLAIN)
    sequences = {i: training_sequence(model, text, 64) for i, text in enumerate(TEXTS)}
    hashes = []
    for lr in (1e-3, 1e30, 1e-3):  # the run between ends in numbers that are no numbers
        with engine.adaptation(lr=lr) as adaptation:
            adaptation.advance([Step(0, True), Step(0, False)], sequences)
            hashes.append(state_hash(model.module))
    assert hashes[0] == hashes[2] != hashes[1]


def test_padding_to_any_bucket_changes_nothing(folder, monkeypatch):
    import ttft_bench.engine.compiled.backend as module

    results = []
    for bucket in (32, 128):
        monkeypatch.setattr(module, "choose_bucket", lambda length, limit, bucket=bucket: bucket)
        results.append(adapt(folder, STEPS, lr=1e-2, optimizer="sgd"))
    (small, start, losses), (large, _, more) = results
    assert losses == pytest.approx(more, rel=1e-6)
    assert (small - large).norm() / (small - start).norm() < 1e-5


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # the compiler's own
def test_a_compiled_step_equals_eager(tmp_path):
    folder = write_model(tmp_path / "m")
    theirs, start, their_losses = adapt(folder, STEPS, backend="eager", lr=1e-3, optimizer="sgd")
    ours, _, losses = adapt(folder, STEPS, options=Options(), lr=1e-3, optimizer="sgd")
    assert losses == pytest.approx(their_losses, rel=1e-4)
    assert (ours - theirs).norm() / (theirs - start).norm() < 1e-4


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # the compiler's own
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_compiled_code_leaves_alone_what_it_handed_over(architecture, tmp_path, monkeypatch):
    """Gradients are computed when all else is done: the latest that a stream of their own could come to it."""
    late = []

    def put(self, *arguments):
        late.append((self._queue, *arguments))

    def scale(self, index, above, x):
        late.append((self._sum, above, x, self.targets[index], self.biases[index]))

    def join(self, failed):
        with torch.no_grad():
            for compute, *arguments in late:
                compute(*arguments)
        late.clear()

    folder = write_model(tmp_path / "m", architecture=architecture)
    settings = {"lr": 1e-3, "optimizer": "sgd"}
    theirs, start, their_losses = adapt(folder, STEPS, backend="eager", **settings)
    monkeypatch.setattr(Sink, "put", put)
    monkeypatch.setattr(Sink, "scale", scale)
    monkeypatch.setattr(Sink, "join", join)
    ours, _, losses = adapt(folder, STEPS, options=Options(inductor=tuple(KEEPING.items())), **settings)
    assert losses == pytest.approx(their_losses, rel=1e-4)
    assert (ours - theirs).norm() / (theirs - start).norm() < 1e-4


def test_compiling_is_counted_apart_and_happens_outside_the_clock(folder, monkeypatch):
    import time

    model = load_model(folder, device="cpu")
    engine = Engine(model, backend="compiled", options=PLAIN)
    build, clock, slept = CompiledBackend._build, time.perf_counter, []

    def slow(self, length, tokens):
        slept.append(10_000.0)  # longer than any machine takes for the steps themselves
        return build(self, length, tokens)

    monkeypatch.setattr(CompiledBackend, "_build", slow)
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + sum(slept))
    before = engine.backend.compile_s
    with engine.adaptation() as adaptation:
        adaptation.advance(STEPS, {i: training_sequence(model, text, 64) for i, text in enumerate(TEXTS)})
    assert engine.backend.compile_s - before >= sum(slept) >= 10_000.0 > adaptation.finetune_s > 0


def test_weights_are_views_of_one_buffer_and_no_mask_is_passed(folder):
    model = load_model(folder, device="cpu", precision="bf16")
    backend = CompiledBackend(model, Settings(), PLAIN)
    assert len(backend.groups) == 2 and isinstance(backend.road, SplitRoad)
    half, full = backend.groups
    assert (half.shadow.dtype, full.shadow.dtype) == (torch.bfloat16, torch.float32)
    owners = {p.untyped_storage().data_ptr() for p in model.module.parameters()}
    assert owners == {half.weights.untyped_storage().data_ptr(), full.weights.untyped_storage().data_ptr()}
    assert model.module.config._attn_implementation == "sdpa" != NAME, "the model itself stays as it was"


def test_the_choice_of_kernels_governs_every_step_of_ours_and_nothing_else(folder, monkeypatch):
    allowed = []

    def note(*arguments, **options):
        allowed.append((arguments[0] is not None, torch.backends.cuda.flash_sdp_enabled()))

    from ttft_bench.engine.compiled import road, trial

    real_token_loss, real_call = trial.token_loss, road.SplitRoad.__call__
    monkeypatch.setattr(trial, "token_loss", lambda *a: note(None) or real_token_loss(*a))
    monkeypatch.setattr(road.SplitRoad, "__call__", lambda self, *a: note(self) or real_call(self, *a))
    adapt(folder, STEPS, options=Options(compile=False, attention="math"))
    ours = [free for mine, free in allowed if mine]
    theirs = [free for mine, free in allowed if not mine]
    assert len(ours) > len(STEPS) and not any(ours), "a step took a kernel that was not chosen"
    assert theirs and all(theirs), "the model's own pass was held to a kernel that it may not have"


def test_a_head_with_something_of_its_own_takes_the_whole_road(folder):
    model = load_model(folder, device="cpu")
    real = type(model.module).forward

    class Scaled(type(model.module)):
        def forward(self, *args, **kwargs):
            output = real(self, *args, **kwargs)
            output.logits = output.logits * 0.5
            return output

    model.module.__class__ = Scaled
    backend = CompiledBackend(model, Settings(), PLAIN)
    assert isinstance(backend.road, WholeRoad)
    backend.prepare([training_sequence(model, TEXTS[0], 64)])


def test_what_cannot_be_built_falls_back_once_with_the_cause(folder, monkeypatch):
    def broken(self, length, tokens):
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(CompiledBackend, "_build", broken)
    model = load_model(folder, device="cpu")
    before = state_hash(model.module)
    engine = Engine(model, backend="compiled", options=PLAIN)
    sequences = {i: training_sequence(model, text, 64) for i, text in enumerate(TEXTS)}
    with pytest.warns(
        RuntimeWarning, match=r"cannot build a step of 128 tokens: RuntimeError: no compiler here.*eager"
    ):
        engine.warm_up(list(sequences.values()))
    assert engine.backend.name == "eager" and state_hash(model.module) == before
    with warnings.catch_warnings(), engine.adaptation() as adaptation:
        warnings.simplefilter("error")
        adaptation.advance(STEPS, sequences)
    assert state_hash(model.module) == before


def refuse_to_build(monkeypatch, length):
    """Have the compiled backend fail at sequences of one length."""
    real = CompiledBackend.prepare

    def faulty(self, group):
        if len(group[0]) == length:
            raise BackendError("the compiled backend cannot build it")
        return real(self, group)

    monkeypatch.setattr(CompiledBackend, "prepare", faulty)


def test_a_shape_that_fails_in_the_middle_fails_that_run_only(folder, monkeypatch):
    model = load_model(folder, device="cpu")
    engine = Engine(model, backend="compiled", options=PLAIN)
    before = state_hash(model.module)
    sequences = {0: torch.arange(1, 20), 1: torch.arange(1, 21)}
    refuse_to_build(monkeypatch, length=20)
    with pytest.warns(RuntimeWarning), pytest.raises(BackendError), engine.adaptation() as adaptation:
        adaptation.advance([Step(0, True)], sequences)
        adaptation.advance([Step(1, True)], sequences)
    assert engine.backend.name == "eager" and state_hash(model.module) == before
    with engine.adaptation() as adaptation:
        adaptation.advance([Step(0, True), Step(1, True)], sequences)


def test_what_was_prepared_before_the_fall_to_eager_is_prepared_again(folder, monkeypatch):
    model = load_model(folder, device="cpu")
    engine = Engine(model, backend="compiled", options=PLAIN)
    sequences = {0: torch.arange(1, 20), 1: torch.arange(1, 21)}
    refuse_to_build(monkeypatch, length=20)
    steps = (Step(Batch((0,)), True), Step(1, True))
    with engine.adaptation() as adaptation:
        adaptation.prepare(steps[:1], {0: sequences[0]})
        with pytest.warns(RuntimeWarning, match="cannot build it"):
            adaptation.prepare(steps[1:], {1: sequences[1]})
        adaptation.advance(steps, sequences)
        found, losses = state_hash(model.module), adaptation.losses
    with engine.adaptation() as adaptation:
        adaptation.advance(steps, sequences)
        assert (state_hash(model.module), adaptation.losses) == (found, losses)


def test_dropout_runs_eagerly_and_says_so(folder):
    with pytest.warns(RuntimeWarning, match="no dropout"):
        engine = Engine(load_model(folder, device="cpu"), Settings(dropout=True), backend="compiled")
    assert engine.backend.name == "eager"


def test_auto_is_compiled_on_cuda_only():
    assert resolve_backend("auto", torch.device("cuda")) == "compiled"
    assert resolve_backend("auto", torch.device("cpu")) == "eager"
    with pytest.raises(UsageError, match="backend must be one of"):
        resolve_backend("jit", torch.device("cpu"))


@pytest.mark.parametrize("options", [PLAIN, Options(compile=False, split=False), Options(compile=False, stack=False)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_block_by_block_are_the_same_bits(folder, monkeypatch, precision, options):
    import ttft_bench.engine.compiled.beside as module

    monkeypatch.setattr(module, "LEAST", 1)
    begun = []
    real = module.Beside._begin
    monkeypatch.setattr(module.Beside, "_begin", lambda self, block: begun.append(block.span) or real(self, block))
    settings = {"precision": precision, "lr": 1e-3}
    ours, _, losses = adapt(folder, STEPS, options=options, **settings)
    assert len(set(begun)) >= 2 and begun[0] > begun[1], "each block on its own, the last first"
    apart, _, same = adapt(folder, STEPS, options=replace(options, beside=False), **settings)
    assert torch.equal(ours, apart) and losses == same
    copied, start, near = adapt(folder, STEPS, options=replace(options, direct=False), **settings)
    assert (ours - copied).norm() <= {"fp32": 1e-4, "bf16": 0.05}[precision] * (copied - start).norm()
    assert losses == pytest.approx(near, rel=1e-2)


def test_a_shape_that_is_built_between_steps_leaves_the_gradient_in_place(folder, monkeypatch):
    import ttft_bench.engine.compiled.backend as module

    monkeypatch.setattr(module, "choose_bucket", lambda length, limit: length)
    sequences = {0: torch.arange(1, 20), 1: torch.arange(1, 31)}
    steps = [Step(0, True), Step(0, False), Step(1, True)]
    hashes = []
    for parts in ((steps,), (steps[:1], steps[1:])):  # the second builds its other shape before a reused step
        model = load_model(folder, device="cpu")
        with Engine(model, backend="compiled", options=PLAIN).adaptation() as adaptation:
            for part in parts:
                adaptation.advance(part, sequences)
            hashes.append(state_hash(model.module))
    assert hashes[0] == hashes[1]


def test_more_lanes_than_a_gpu_has_streams_for_are_refused(folder):
    model = replace(load_model(folder, device="cpu"), device=torch.device("cuda"))
    with pytest.raises(UsageError, match="at most 10 on a GPU, got 11"):
        open_lanes(model, None, 11)


def test_only_what_trains_in_the_same_way_is_shared(folder, monkeypatch):
    monkeypatch.setattr(CompiledBackend, "_wrap", lambda self, function: function)
    first = Engine(load_model(folder, device="cpu"), backend="compiled", options=Options())
    for options, settings, same in (
        (Options(), Settings(lr=1e-3), True),
        (Options(aside=False), Settings(), False),
        (Options(), Settings(trainable="last[k=1]"), False),
    ):
        model = load_model(folder, device="cpu")
        other = Engine(model, settings, backend="compiled", options=options, like=first)
        assert (other.backend.code is first.backend.code) is same
    with pytest.raises(UsageError, match="from 0 to 1"):
        Options(narrow=48)


def test_lanes_share_what_was_compiled(folder, monkeypatch):
    monkeypatch.setattr(CompiledBackend, "_wrap", lambda self, function: function)
    first, second = open_lanes(load_model(folder, device="cpu"), None, 2, backend="compiled", options=Options())
    assert first.engine.backend.code is second.engine.backend.code
    owners = [{p.data_ptr() for p in lane.engine.model.module.parameters()} for lane in (first, second)]
    assert not owners[0] & owners[1]


def test_lanes_at_once_compute_what_one_computes(folder):
    lanes = open_lanes(load_model(folder, device="cpu"), Settings(lr=1e-3), 3, backend="compiled", options=PLAIN)
    sequences = {i: training_sequence(lanes[0].engine.model, text, 64) for i, text in enumerate(TEXTS)}

    def work(lane):
        found = set()
        for _ in range(5):
            with lane.active() as engine, engine.adaptation() as adaptation:
                adaptation.advance(STEPS, sequences)
                found.add(state_hash(engine.model.module))
        return found

    with ThreadPoolExecutor(3) as pool:
        assert len(set().union(*pool.map(work, lanes))) == 1


def test_lanes_compute_what_one_computes(folder):
    model = load_model(folder, device="cpu")
    lanes = open_lanes(model, Settings(lr=1e-3), 2, backend="compiled", options=PLAIN)
    sequences = {i: training_sequence(model, text, 64) for i, text in enumerate(TEXTS)}
    hashes = set()
    for lane in lanes:
        with lane.active() as engine, engine.adaptation() as adaptation:
            adaptation.advance(STEPS, sequences)
            hashes.add(state_hash(engine.model.module))
    assert len(hashes) == 1
    assert lanes[1].engine.backend.code is not lanes[0].engine.backend.code, "uncompiled code is not for two threads"
    with pytest.raises(UsageError, match="at least 1"):
        open_lanes(model, None, 0)
    with pytest.raises(UsageError, match="dropout needs one lane"):
        open_lanes(model, Settings(dropout=True), 2)
