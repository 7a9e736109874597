"""Studies of our engine: ideas left out one by one, lanes, kernels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from enginelib.plan import Plan, Row, forget
from enginelib.shapes import UPDATE_BYTES, Shape, build, count_weights, sequences
from enginelib.steps import ours
from enginelib.timing import memory_gib, peak_mib, reset_peak, seconds, wait
from ttft_bench.engine.finetune import Engine
from ttft_bench.engine.lanes import open_lanes

EAGER = "eager"
#: What can be left out or decided otherwise: name -> options of the compiled backend.
IDEAS: dict[str, dict[str, Any]] = {
    "all": {},
    "no bf16 shadow": {"shadow": False},
    "no dithered shadow": {"dither": False},
    "no padded head": {"split": False},
    "no gradients in place": {"direct": False},
    "no norms' gradients aside": {"norms": False},
    "no kernels of ours for gradients": {"kernels": False},
    "no kernels of ours in the chain": {"chain": False},
    "no gradients aside": {"aside": False},
    "no update beside": {"beside": False},
    "updates in all thread blocks": {"narrow": 0},
    "no stacked products": {"stack": False},
    "no heads in one kernel": {"heads": False},
    "PyTorch's choice of attention": {"attention": "sdpa"},
    "flash attention": {"attention": "flash"},
    "cudnn attention": {"attention": "cudnn"},
    "attention written out": {"attention": "math"},
    "the model's own attention": {"attention": "model"},
    "no torch.compile": {"compile": False},
    "no CUDA graphs": {"graphs": False},
    EAGER: {},
}


def ideas(plan: Plan, shape: Shape) -> Iterator[Row]:
    """Each idea of the compiled backend left out, or decided otherwise, on its own."""
    changes = {name: replace(plan.options, **change) for name, change in IDEAS.items() if name != EAGER}
    for name, options in changes.items():
        if plan.ideas and not name.startswith(plan.ideas):
            continue
        if plan.device.type == "cpu" and options.attention in ("flash", "cudnn"):
            continue  # kernels of a GPU
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
        forget()
    if plan.device.type == "cuda" and (not plan.ideas or EAGER.startswith(plan.ideas)):
        yield from ({**row, "idea": EAGER} for row in ours(replace(plan, backend="eager"), shape, "ideas"))


def lanes(plan: Plan, shape: Shape) -> Iterator[Row]:
    """Fresh steps per second with 1, 2, 4 and, where they fit, 8 prompts at once."""
    counts = (1, 2) if plan.quick else (1, 2, 4, 8) if memory_gib(plan.device) > 80 else (1, 2, 4)
    before = reset_peak(plan.device)
    model = build(shape, plan.device, plan.precision)
    like = plan.compiled.get(shape)
    opened = open_lanes(model, None, counts[-1], backend=plan.backend, options=plan.options, like=like)
    item = sequences(shape, [min(shape.tokens, 1023)], plan.device)
    wait(plan.device)
    batches = []
    for lane in opened:
        with lane.active() as engine:
            batches.append(engine.prepare([0], item)[0])

    def queue(count: int) -> None:
        for _ in range(plan.inner):
            for lane, batch in list(zip(opened, batches, strict=True))[:count]:
                with lane.active() as engine:
                    engine.backend.fresh(batch, 5e-5)

    for count in counts:
        queue(count)
        yield {
            "who": "ours",
            "what": "lanes",
            "model": shape.name,
            "tokens": shape.tokens,
            "lanes": count,
            "amortised_s": seconds(partial(queue, count), plan.device, plan.rounds) / plan.inner / count,
            "peak_mib": _share(peak_mib(plan.device, before), count / len(opened)),
            "backend": opened[0].engine.backend.name,
            "precision": plan.precision,
        }


def narrow(plan: Plan, shape: Shape) -> Iterator[Row]:
    """Adam by itself on as many weights as ``shape`` has: bytes per second in few thread blocks and in all."""
    if plan.device.type != "cuda":
        plan.note("  kernels of a GPU")
        return
    from ttft_bench.engine.compiled import narrow as kernels
    from ttft_bench.engine.compiled.rules import adam_, coefficients

    count = count_weights(build(shape, plan.device, "bf16")) // 64 * 64
    weights, first, second = (torch.zeros(count, device=plan.device) for _ in range(3))
    halves = [torch.zeros(count, device=plan.device, dtype=torch.bfloat16) for _ in range(2)]
    step, lr = torch.ones((), device=plan.device), torch.full((), 5e-5, device=plan.device)
    arguments = (weights, *halves, first, second), step, lr, *coefficients(step, lr, 0.9, 0.999), None
    rule = (0.9, 0.999, 1e-8, 0.0)
    everything = torch.compile(adam_, dynamic=False)
    ways = {0: partial(everything, *arguments, rule)}
    ways |= {n: partial(kernels.adam_, *arguments, rule, programs=n) for n in (16, 32, 48, 64, 132)}
    for blocks, run in ways.items():
        run()
        taken = seconds(run, plan.device, plan.rounds, plan.inner)
        yield {"what": "narrow", "model": shape.name, "blocks": blocks, "gb_s": UPDATE_BYTES * count / taken / 1e9}


def _share(all_mib: float | None, part: float) -> float | None:
    """Of what all lanes take, what some of them do: they are equal."""
    return None if all_mib is None else part * all_mib


def profile(plan: Plan, shape: Shape) -> Iterator[Row]:
    """Which kernels a fresh step consists of, how many and how long."""
    if plan.device.type != "cuda":
        plan.note("  kernels can only be profiled on CUDA")
        return
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    model = build(shape, plan.device, plan.precision)
    engine = Engine(model, backend=plan.backend, options=plan.options, like=plan.compiled.get(shape))
    items = sequences(shape, [min(shape.tokens, 1023)], plan.device)
    engine.warm_up([items[0]])
    batch = engine.prepare([0], items)[0]
    repeats = 5
    with record(activities=[ProfilerActivity.CUDA]) as found:
        for _ in range(repeats):
            engine.backend.fresh(batch, 5e-5)
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
