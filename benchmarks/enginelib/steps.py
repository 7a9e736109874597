"""Steps, restores and whole prompts: the published loop and ours."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from enginelib.plan import Plan, Row, forget, run_prompt, schedule
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
from enginelib.timing import peak_mib, reset_peak, seconds
from ttft_bench.engine.finetune import Engine


def published(plan: Plan, shape: Shape) -> Iterator[Row]:
    """The published loop at fp32: steps, restore, whole prompts."""
    before = reset_peak(plan.device)
    model = build(shape, plan.device, "fp32")
    length = shape.tokens if plan.quick else LENGTH
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
    yield {**base, "what": "step", **figures, "peak_mib": peak_mib(plan.device, before)}
    for r in (2, 1):
        steps = schedule(r)
        run = partial(loop.prompt, steps, inputs)
        taken = seconds(run, plan.device, 1 if plan.quick else 3)
        fresh = sum(step.fresh for step in steps)
        yield {**base, "what": "prompt", "r": r, "fresh": fresh, "reused": len(steps) - fresh, "prompt_s": taken}


def ours(plan: Plan, shape: Shape, what: str = "step") -> Iterator[Row]:
    """Our engine on ``shape``: steps, restore, whole prompts, memory, compile seconds."""
    before = reset_peak(plan.device)
    model = build(shape, plan.device, plan.precision)
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
    yield {**base, "what": what, **_steps(plan, engine, items, before), **_counts(plan, shape, model)}
    if what != "step":
        return
    plan.compiled[shape] = engine
    for r in (2, 1):
        steps = schedule(r)
        taken = statistics.median(run_prompt(engine, steps, items) for _ in range(plan.rounds))
        fresh = sum(step.fresh for step in steps)
        yield {**base, "what": "prompt", "r": r, "fresh": fresh, "reused": len(steps) - fresh, "prompt_s": taken}


def _steps(plan: Plan, engine: Engine, items: dict[int, torch.Tensor], before: int) -> Row:
    batch = engine.prepare([0], items)[0]
    backend = engine.backend

    def fresh() -> None:
        backend.fresh(batch, 5e-5)

    figures = {
        "fresh_s": seconds(fresh, plan.device, plan.rounds, plan.inner),
        "gradient_s": seconds(lambda: backend.gradient(batch), plan.device, plan.rounds, plan.inner),
        "reused_s": seconds(lambda: backend.update(5e-5), plan.device, plan.rounds, plan.inner),
        "restore_s": seconds(backend.restore, plan.device, plan.rounds),
        "peak_mib": peak_mib(plan.device, before),
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


def growth(plan: Plan, shape: Shape) -> Iterator[Row]:
    """Time of a step against the number of tokens."""
    lengths = (16, 32, 64) if plan.quick else (128, 256, 512, 1024)
    for tokens in lengths:
        yield from ours(plan, replace(shape, tokens=tokens), "growth")
        forget()


def sizes(plan: Plan, _: Shape) -> Iterator[Row]:
    """Time of a step against the size of the model, at 1024 tokens."""
    plan.note("  models of its own, whatever --models says")
    for name in ("tiny-gpt2",) if plan.quick else ("smollm2-135m", "gpt2-medium", "gpt2-large"):
        shape = SHAPES[name]
        yield from ours(plan, shape if plan.quick else replace(shape, tokens=1024), "sizes")
        forget()
