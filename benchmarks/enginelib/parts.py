"""What is measured: each part returns rows for the JSON file."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from enginelib.published import LENGTH, PublishedLoop
from enginelib.shapes import (
    RESTORE_BYTES,
    SHAPES,
    UPDATE_BYTES,
    Shape,
    build,
    count_weights,
    sequences,
    step_operations,
)
from enginelib.timing import peak_mib, reset_peak, seconds, wait
from ttft_bench.engine.compiled import Options
from ttft_bench.engine.finetune import Engine
from ttft_bench.engine.lanes import open_lanes
from ttft_bench.engine.schedule import Reuse, Step, build_schedule

Row = dict[str, Any]
Note = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How to measure: device, precision and backend of ours, repetitions."""

    device: torch.device
    precision: str
    backend: str
    options: Options
    quick: bool
    note: Note

    @property
    def rounds(self) -> int:
        """Medians are over so many."""
        return 3 if self.quick else 7

    @property
    def inner(self) -> int:
        """Steps between two waits."""
        return 2 if self.quick or self.device.type == "cpu" else 20


def schedule(r: int) -> tuple[Step[int], ...]:
    """N = 50: at r = 2, 20 runs of two and 10 single items: 30 fresh and 20 reused steps; at r = 1, 50 fresh."""
    picks = [item for item in range(20) for _ in range(2)] + list(range(20, 30))
    return build_schedule(picks, Reuse(r))


def published(plan: Plan, shape: Shape) -> Iterator[Row]:
    """The published loop at fp32: steps, restore, whole prompts."""
    model = build(shape, plan.device, "fp32")
    length = shape.tokens if plan.quick else LENGTH
    reset_peak(plan.device)
    loop = PublishedLoop(model.module, length=length)
    items = sequences(shape, [min(shape.tokens, length - 1)] * 30, plan.device)
    inputs = {key: loop.pad(value) for key, value in items.items()}
    for _ in range(3):
        loop.fresh(inputs[0], keep=True)
        loop.reused()
    base = {"who": "published", "model": shape.name, "tokens": shape.tokens, "padded_to": length, "precision": "fp32"}
    few = max(1, plan.inner // 4)
    figures = {
        "fresh_s": seconds(lambda: loop.fresh(inputs[0]), plan.device, plan.rounds, few),
        "reused_s": seconds(loop.reused, plan.device, plan.rounds, few),
        "restore_s": seconds(loop.restore, plan.device, plan.rounds),
    }
    yield {**base, "what": "step", **figures, "peak_mib": peak_mib(plan.device)}
    for r in (2, 1):
        steps = schedule(r)
        taken = seconds(lambda steps=steps: loop.prompt(steps, inputs), plan.device, 1 if plan.quick else 3)
        fresh = sum(step.fresh for step in steps)
        yield {**base, "what": "prompt", "r": r, "fresh": fresh, "reused": len(steps) - fresh, "prompt_s": taken}


def ours(plan: Plan, shape: Shape, what: str = "step") -> Iterator[Row]:
    """Our engine on ``shape``: steps, restore, whole prompts, memory, compile seconds."""
    model = build(shape, plan.device, plan.precision)
    reset_peak(plan.device)
    engine = Engine(model, backend=plan.backend, options=plan.options)
    items = sequences(shape, [shape.tokens] * 30 if shape.tokens < 1024 else [1023] * 30, plan.device)
    engine.warm_up([items[0]])
    base = {
        "who": "ours",
        "model": shape.name,
        "tokens": shape.tokens,
        "precision": plan.precision,
        "backend": engine.backend.name,
        "weights": count_weights(model),
        "compile_s": engine.backend.compile_s,
        "options": vars(plan.options),
    }
    yield {**base, "what": what, **_steps(plan, engine, items), **_counts(plan, shape, model)}
    if what != "step":
        return
    for r in (2, 1):
        steps = schedule(r)
        taken = statistics.median(_prompt(engine, steps, items) for _ in range(plan.rounds))
        fresh = sum(step.fresh for step in steps)
        yield {**base, "what": "prompt", "r": r, "fresh": fresh, "reused": len(steps) - fresh, "prompt_s": taken}


def _steps(plan: Plan, engine: Engine, items: dict[int, torch.Tensor]) -> Row:
    batch = engine.prepare([0], items)[0]
    backend = engine.backend

    def fresh() -> None:
        backend.gradient(batch)
        backend.update(5e-5)

    figures = {
        "fresh_s": seconds(fresh, plan.device, plan.rounds, plan.inner),
        "gradient_s": seconds(lambda: backend.gradient(batch), plan.device, plan.rounds, plan.inner),
        "reused_s": seconds(lambda: backend.update(5e-5), plan.device, plan.rounds, plan.inner),
        "restore_s": seconds(backend.restore, plan.device, plan.rounds),
        "peak_mib": peak_mib(plan.device),
    }
    backend.restore()
    return figures


def _counts(plan: Plan, shape: Shape, model: Any) -> Row:
    weights = count_weights(model)
    return {
        "operations": step_operations(shape, model, shape.tokens),
        "update_bytes": UPDATE_BYTES * weights,
        "restore_bytes": RESTORE_BYTES[plan.precision] * weights,
    }


def _prompt(engine: Engine, steps: tuple[Step[int], ...], items: dict[int, torch.Tensor]) -> float:
    """Seconds of steps and restore by the engine's own clocks; padding is outside, as it is for the published loop."""
    with engine.adaptation() as adaptation:
        adaptation.advance(steps, items)
    return adaptation.finetune_s + engine.restore_s


def growth(plan: Plan, shape: Shape) -> Iterator[Row]:
    """Time of a step against the number of tokens."""
    lengths = (16, 32, 64) if plan.quick else (128, 256, 512, 1024)
    for tokens in lengths:
        yield from ours(plan, replace(shape, tokens=tokens), "growth")
        release()


def sizes(plan: Plan, _: Shape) -> Iterator[Row]:
    """Time of a step against the size of the model, at 1024 tokens."""
    for name in ("tiny-gpt2",) if plan.quick else ("smollm2-135m", "gpt2-medium", "gpt2-large"):
        shape = SHAPES[name]
        yield from ours(plan, shape if plan.quick else replace(shape, tokens=1024), "sizes")
        release()


def ideas(plan: Plan, shape: Shape) -> Iterator[Row]:
    """Each idea of the compiled backend left out, or decided otherwise, on its own."""
    changes: dict[str, Options] = {
        "all": plan.options,
        "no bf16 shadow": replace(plan.options, shadow=False),
        "no padded head": replace(plan.options, split=False),
        "flash attention": replace(plan.options, attention="flash"),
        "cudnn attention": replace(plan.options, attention="cudnn"),
        "the model's own attention": replace(plan.options, attention="model"),
        "no torch.compile": replace(plan.options, compile=False),
        "no CUDA graphs": replace(plan.options, graphs=False),
    }
    for name, options in changes.items():
        plan.note(f"  {name}")
        try:
            for row in ours(replace(plan, options=options, backend="compiled"), shape, "ideas"):
                yield {**row, "idea": name}
        except Exception as error:  # one way that does not work must not cost the others
            yield {
                "what": "ideas",
                "idea": name,
                "model": shape.name,
                "error": f"{type(error).__name__}: {error}"[:500],
            }
        release()
    if plan.device.type == "cuda":
        yield from ({**row, "idea": "eager"} for row in ours(replace(plan, backend="eager"), shape, "ideas"))


def lanes(plan: Plan, shape: Shape) -> Iterator[Row]:
    """Fresh steps per second with 1, 2 and 4 prompts at once."""
    for count in (1, 2) if plan.quick else (1, 2, 4):
        model = build(shape, plan.device, plan.precision)
        reset_peak(plan.device)
        opened = open_lanes(model, None, count, backend=plan.backend, options=plan.options)
        item = sequences(shape, [min(shape.tokens, 1023)], plan.device)
        wait(plan.device)
        batches = []
        for lane in opened:
            with lane.active() as engine:
                batches.append(engine.prepare([0], item)[0])
        rounds = plan.inner

        def queue(opened: Any = opened, batches: Any = batches, rounds: int = rounds) -> None:
            for _ in range(rounds):
                for lane, batch in zip(opened, batches, strict=True):
                    with lane.active() as engine:
                        engine.backend.gradient(batch)
                        engine.backend.update(5e-5)

        queue()
        taken = seconds(queue, plan.device, plan.rounds) / rounds / count
        yield {
            "who": "ours",
            "what": "lanes",
            "model": shape.name,
            "tokens": shape.tokens,
            "lanes": count,
            "amortised_s": taken,
            "peak_mib": peak_mib(plan.device),
            "backend": opened[0].engine.backend.name,
            "precision": plan.precision,
        }
        del opened, batches, queue, model
        release()


def profile(plan: Plan, shape: Shape) -> Iterator[Row]:
    """Which kernels a fresh step consists of, how many and how long."""
    if plan.device.type != "cuda":
        plan.note("  kernels can only be profiled on CUDA")
        return
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    model = build(shape, plan.device, plan.precision)
    engine = Engine(model, backend=plan.backend, options=plan.options)
    items = sequences(shape, [min(shape.tokens, 1023)], plan.device)
    engine.warm_up([items[0]])
    batch = engine.prepare([0], items)[0]
    repeats = 5
    with record(activities=[ProfilerActivity.CUDA]) as found:
        for _ in range(repeats):
            engine.backend.gradient(batch)
            engine.backend.update(5e-5)
        wait(plan.device)
    kernels = [
        {"kernel": event.key[:160], "count": event.count / repeats, "us": event.self_device_time_total / repeats}
        for event in found.key_averages()
        if event.self_device_time_total > 0
    ]
    kernels.sort(key=lambda kernel: -kernel["us"])
    yield {
        "who": "ours",
        "what": "profile",
        "model": shape.name,
        "tokens": shape.tokens,
        "kernels": len(kernels),
        "launches": sum(kernel["count"] for kernel in kernels),
        "busy_s": sum(kernel["us"] for kernel in kernels) / 1e6,
        "top": kernels[:60],
    }


def release() -> None:
    """Give memory and compiled code of what was measured back."""
    gc.collect()
    torch._dynamo.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


PARTS: dict[str, Callable[[Plan, Shape], Iterator[Row]]] = {
    "published": published,
    "ours": ours,
    "lanes": lanes,
    "profile": profile,
    "ideas": ideas,
    "growth": growth,
    "sizes": sizes,
}


def run_part(part: str, plan: Plan, shape: Shape) -> Iterator[Row]:
    """The rows of one part, each with the seconds that the part had taken when it was made."""
    started = time.perf_counter()
    for row in PARTS[part](plan, shape):
        yield {**row, "part": part, "part_s": round(time.perf_counter() - started, 1)}
    release()
