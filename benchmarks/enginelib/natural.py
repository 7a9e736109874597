"""Documents of natural length: what is saved by not padding them, and whether the prompt scores the same.

On a CPU the pinned model finetunes on real text: for each prompt of the suite ``quick`` its nearest documents from
the cached pools, first by the published loop, then by ours, and the prompt is scored after each. Elsewhere, and where
model or text are not to be had, token ids are random, lengths are those of the minipile, and the row says so.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from enginelib.plan import Plan, Row, forget, run_prompt
from enginelib.published import LENGTH, PublishedLoop
from enginelib.shapes import Shape, build, sequences
from enginelib.timing import seconds
from ttft_bench.corpus.sources import EMBEDDING
from ttft_bench.engine.finetune import Engine
from ttft_bench.engine.model import LanguageModel, load_model
from ttft_bench.engine.schedule import Step, build_schedule
from ttft_bench.engine.score import Target, make_target, score, training_sequence
from ttft_bench.errors import TtftBenchError

#: Lengths of documents of natural text, about as the minipile has them under a 49k vocabulary.
LENGTHS = (180, 240, 300, 260, 410, 120, 350, 200, 150, 220, 280, 90)
#: Real text: prompts, and documents for each; a step of the published loop takes up to ten seconds on two cores.
_PROMPTS, _DOCUMENTS = 3, 4
#: Real weights exist of this shape.
_REAL = {"smollm2-135m": "smollm2-135m-instruct"}


@dataclass(frozen=True)
class Prompt:
    """A prompt made ready for scoring, and the token ids of its nearest documents, nearest first."""

    subset: str
    target: Target
    items: dict[int, torch.Tensor]


def natural(plan: Plan, shape: Shape) -> Iterator[Row]:
    """The published loop, which pads to its full length, beside ours, which does not (or to a bucket)."""
    model, prompts, why = _read_text(plan, shape)
    if model is None:
        yield {**_random(plan, shape), "text": f"random token ids: {why}"}
    else:
        yield from _real(plan, shape, model, prompts)


def _read_text(plan: Plan, shape: Shape) -> tuple[LanguageModel | None, list[Prompt], str]:
    """The pinned model and prompts with their nearest documents; or why there are none."""
    if plan.quick or plan.device.type != "cpu":
        return None, [], "a smoke run" if plan.quick else "real text is read on a CPU only"
    if shape.name not in _REAL:
        return None, [], f"no real weights of {shape.name}"
    try:
        from ttft_bench.assets import resolve_source
        from ttft_bench.sweep.prepare import prepare
        from ttft_bench.sweep.suite import load_suite

        suite = load_suite("quick")
        prepared = prepare(suite, limit=None, sources=(EMBEDDING,), note=plan.note)
        name = _REAL[shape.name]
        model = load_model(resolve_source(name, plan.note), name=name, device="cpu", precision="fp32")
    except (TtftBenchError, ImportError, OSError) as error:
        return None, [], str(error).splitlines()[0]
    pools, corpus = prepared.pools[EMBEDDING].pools, prepared.corpus
    every = max(1, len(corpus.prompts) // _PROMPTS)
    prompts = [
        Prompt(
            document.subset,
            make_target(model, document.text, LENGTH),
            {
                int(i): training_sequence(model, corpus.train[i].text, LENGTH)
                for i in pools[document.key].ids[:_DOCUMENTS]
            },
        )
        for document in corpus.prompts[::every][:_PROMPTS]
    ]
    return model, prompts, ""


def _real(plan: Plan, shape: Shape, model: LanguageModel, prompts: list[Prompt]) -> Iterator[Row]:
    """One row for each prompt, then all together. Ours runs on both sides of the slower published loop."""
    theirs = replace(model, module=copy.deepcopy(model.module))
    loop = PublishedLoop(theirs.module)
    engine = Engine(replace(model, precision=plan.precision), backend=plan.backend, options=plan.options)
    documents = [sequence for prompt in prompts for sequence in prompt.items.values()]
    engine.warm_up(documents)
    _their_prompt(loop, theirs, replace(prompts[0], items=dict(list(prompts[0].items.items())[:1])))
    rows = []
    for prompt in prompts:
        before = score(model, prompt.target)
        first_s, ours = _our_prompt(engine, prompt)
        published_s, published = _their_prompt(loop, theirs, prompt)
        second_s, again = _our_prompt(engine, prompt)
        lengths = [len(sequence) for sequence in prompt.items.values()]
        taken = (first_s + second_s) / 2
        rows.append(
            {
                "who": "both",
                "what": "natural prompt",
                "text": prompt.subset,
                "model": model.name,
                "tokens": statistics.mean(lengths),
                "tokens_max": max(lengths),
                "n": len(lengths),
                "published_s": published_s,
                "ours_s": taken,
                "ratio": published_s / taken,
                "bpb_before": before,
                "bpb_published": published,
                "bpb_ours": ours,
                "bpb_difference": max(abs(ours - published), abs(again - published)),
            }
        )
        yield {**rows[-1], "model": shape.name}
    yield {
        "who": "both",
        "what": "natural",
        "text": f"minipile, {len(prompts)} prompts with their nearest documents",
        "model": shape.name,
        "weights": model.name,
        "tokens": statistics.mean(row["tokens"] for row in rows),
        "n": sum(row["n"] for row in rows),
        "published_s": sum(row["published_s"] for row in rows),
        "ours_s": sum(row["ours_s"] for row in rows),
        "ratio": sum(row["published_s"] for row in rows) / sum(row["ours_s"] for row in rows),
        "bpb_difference": max(row["bpb_difference"] for row in rows),
        "precision": plan.precision,
        "backend": engine.backend.name,
        "compile_s": engine.backend.compile_s,
        "threads": torch.get_num_threads(),
        **engine.backend.describe(),
    }
    forget()


def _their_prompt(loop: PublishedLoop, model: LanguageModel, prompt: Prompt) -> tuple[float, float]:
    """Seconds of steps and restore, and bits per byte of the prompt between them."""
    inputs = [loop.pad(sequence) for sequence in prompt.items.values()]
    start = time.perf_counter()
    loop.begin()
    for one in inputs:
        loop.fresh(one)
    taken = time.perf_counter() - start
    loop.module.eval()
    bits = score(model, prompt.target)
    start = time.perf_counter()
    loop.restore()
    return taken + time.perf_counter() - start, bits


def _our_prompt(engine: Engine, prompt: Prompt) -> tuple[float, float]:
    """The same of ours, by the engine's own clocks."""
    with engine.adaptation() as adaptation:
        adaptation.advance(build_schedule(list(prompt.items)), prompt.items)
        bits = score(engine.model, prompt.target)
    return adaptation.finetune_s + engine.restore_s, bits


def _random(plan: Plan, shape: Shape) -> Row:
    lengths = [min(length, shape.tokens - 1) for length in LENGTHS[: 4 if plan.device.type == "cpu" else None]]
    items = sequences(shape, lengths, plan.device)
    steps = build_schedule(list(items))
    rounds = 1 if plan.device.type == "cpu" else plan.rounds
    theirs = _published_prompt(plan, shape, steps, items, rounds)
    forget()
    engine = Engine(build(shape, plan.device, plan.precision), backend=plan.backend, options=plan.options)
    engine.warm_up(list(items.values()))
    taken = statistics.median(run_prompt(engine, steps, items) for _ in range(rounds))
    return {
        "who": "both",
        "what": "natural",
        "model": shape.name,
        "tokens": sum(lengths) / len(lengths),
        "n": len(steps),
        "published_s": theirs,
        "ours_s": taken,
        "ratio": theirs / taken,
        "precision": plan.precision,
        "backend": engine.backend.name,
        "compile_s": engine.backend.compile_s,
        "threads": torch.get_num_threads(),
        **engine.backend.describe(),
    }


def _published_prompt(
    plan: Plan, shape: Shape, steps: tuple[Step[int], ...], items: dict[int, torch.Tensor], rounds: int
) -> float:
    loop = PublishedLoop(build(shape, plan.device, "fp32").module, length=shape.tokens if plan.quick else LENGTH)
    inputs = {key: loop.pad(value) for key, value in items.items()}
    loop.fresh(inputs[0])
    loop.restore()
    return seconds(lambda: loop.prompt(steps, inputs), plan.device, rounds)


def table(rows: list[Row]) -> list[str]:
    """The figures as Markdown."""
    lines = [
        "| text | model | documents | tokens of one | published s | ours s | ratio | target | BPB off by | target |",
        "|---|---|---:|---:|---:|---:|---:|---|---:|---|",
    ]
    for row in rows:
        if not str(row.get("what", "")).startswith("natural"):
            continue
        aim = difference = within = ""
        whole = row["what"] == "natural" and row.get("gpu") is None and not row["model"].startswith("tiny")
        if whole:
            aim = f"3x: {_met(row['ratio'] >= 3)}"
        if "bpb_difference" in row:
            difference = f"{row['bpb_difference']:.1e}"
            within = f"1e-4: {_met(row['bpb_difference'] <= 1e-4)}" if whole else ""
        cells = (
            row.get("text", "random token ids"),
            row["model"],
            str(row["n"]),
            f"{row['tokens']:.0f}",
            f"{row['published_s']:.2f}",
            f"{row['ours_s']:.2f}",
            f"{row['ratio']:.1f}x",
            aim,
            difference,
            within,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines if len(lines) > 2 else []


def _met(yes: bool) -> str:
    return "met" if yes else "missed"


__all__ = ["natural", "table"]
