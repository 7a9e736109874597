"""Which rounding of bf16 costs bits per byte: one rounding at a time, in fp32 arithmetic, on any machine.

    ttft-bench select --suite precision --output picks
    python benchmarks/rounding.py picks --prompts 7d46,f166         # prompts by the beginning of their ids
    python benchmarks/rounding.py picks --prompts 7d46 --ways exact,weights

Every prompt is finetuned on its picks once for every way, a minute each on two cores, and scored in fp32. Linear
layers, the output head among them, compute with operands that are rounded first; nothing else is changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy, linear

from ttft_bench.assets import resolve_source
from ttft_bench.engine.compiled.rules import dithered
from ttft_bench.engine.forwards import forwards_replaced
from ttft_bench.engine.host import fit_threads, keep_freed_memory
from ttft_bench.engine.model import LanguageModel, load_model
from ttft_bench.engine.score import make_target, score, training_sequence

MODEL, TOKENS, LR = "smollm2-135m-instruct", 256, 5e-5
#: A weight, the weight before the first step, the number of the step, an input -> the two operands of the product.
Way = Callable[[torch.Tensor, torch.Tensor, int, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def nearest(x: torch.Tensor) -> torch.Tensor:
    """``x`` rounded to the nearest bf16 value, in fp32."""
    return x.bfloat16().float()


def at_random(weight: torch.Tensor, step: int) -> torch.Tensor:
    """``weight`` as the compiled backend's shadow of it: to the nearest before the first step, at random after each."""
    return nearest(weight) if step == 0 else dithered(weight, torch.full_like(weight, float(step)))


WAYS: dict[str, tuple[str, Way]] = {
    "exact": ("nothing", lambda w, before, step, x: (w, x)),
    "weights": ("weights to the nearest", lambda w, before, step, x: (nearest(w), x)),
    "before": ("weights before the first step only", lambda w, before, step, x: (nearest(before) + (w - before), x)),
    "change": ("what steps change only", lambda w, before, step, x: (before + nearest(w) - nearest(before), x)),
    "random": ("weights at random", lambda w, before, step, x: (at_random(w, step), x)),
    "inputs": ("inputs of layers", lambda w, before, step, x: (w, nearest(x))),
}


class _Rounded(torch.autograd.Function):
    """A product of rounded operands whose gradient is that of the rounded product."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, operands: Any) -> torch.Tensor:
        used, read = operands(weight, x)
        ctx.save_for_backward(used, read)
        return linear(read, used)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        used, read = ctx.saved_tensors
        (gradient,) = gradients
        return gradient @ used, gradient.flatten(0, -2).t() @ read.flatten(0, -2), None


def finetune(model: LanguageModel, sequences: list[torch.Tensor], way: Way) -> None:
    """Adam steps as published, one per sequence, with the operands of linear layers rounded; changes the weights."""
    layers = [part for part in model.module.modules() if isinstance(part, nn.Linear) and part.bias is None]
    before = {layer: layer.weight.detach().clone() for layer in layers}
    parameters = list(model.module.parameters())
    optimizer = torch.optim.Adam(parameters, lr=LR, fused=True)
    for step, sequence in enumerate(sequences):

        def forward(layer: Any, step: int = step) -> Callable[[torch.Tensor], Any]:
            operands = lambda weight, x: way(weight, before[layer], step, x)  # noqa: E731
            return lambda x: _Rounded.apply(x, layer.weight, operands)

        optimizer.zero_grad()
        with forwards_replaced((layer, forward(layer)) for layer in layers):
            logits = model.module(input_ids=sequence[None, :-1], use_cache=False).logits
            cross_entropy(logits[0], sequence[1:]).backward()
        optimizer.step()


def compare(model: LanguageModel, picks: Path, begins: list[str], ways: list[str]) -> Iterator[dict[str, Any]]:
    """BPB% of every prompt and way, and how far it is from the first way's."""
    kept = [parameter.detach().clone() for parameter in model.module.parameters()]
    documents = _records(picks / "documents.jsonl")
    prompts = {row["prompt_id"]: row["text"] for row in documents if row["kind"] == "prompt"}
    texts = {row["id"]: row["text"] for row in documents if row["kind"] != "prompt"}
    chosen = _records(picks / "picks.jsonl")
    for begin in begins:
        pick = next(row for row in chosen if row["prompt_id"].startswith(begin))
        target = make_target(model, prompts[pick["prompt_id"]], TOKENS)
        sequences = [training_sequence(model, texts[number], TOKENS) for number in pick["document_ids"]]
        untouched, first = score(model, target), None
        for name in ways:
            finetune(model, sequences, WAYS[name][1])
            percent = 100 * score(model, target) / untouched
            first = percent if first is None else first
            with torch.no_grad():
                torch._foreach_copy_(list(model.module.parameters()), kept)
            yield {"prompt_id": pick["prompt_id"], "rounded": name, "bpb_pct": percent, "difference": percent - first}


def _records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def main(argv: list[str] | None = None) -> int:
    """Print a line for every prompt and way."""
    parser = argparse.ArgumentParser(description="Which rounding of bf16 costs bits per byte.")
    parser.add_argument("picks", type=Path, help="folder of `ttft-bench select --suite precision`")
    parser.add_argument("--prompts", required=True, help="beginnings of prompt ids, comma-separated")
    parser.add_argument("--ways", default=",".join(WAYS), help=f"of {', '.join(WAYS)}; the first is compared with")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args(argv)
    ways, rows = options.ways.split(","), []
    unknown = [name for name in ways if name not in WAYS]
    if unknown:
        parser.error(f"there is no way {unknown[0]!r}: there are {', '.join(WAYS)}")
    for name in ("picks.jsonl", "documents.jsonl"):
        if not (options.picks / name).is_file():
            command = "ttft-bench select --suite precision --output PICKS"
            parser.error(f"{options.picks} has no {name}, or a packed one: make it with `{command}`")
    keep_freed_memory()
    fit_threads()
    model = load_model(resolve_source(MODEL, print), name=MODEL, device="cpu", precision="fp32")
    for row in compare(model, options.picks, options.prompts.split(","), ways):
        rows.append(row)
        print(
            f"{row['prompt_id']} {WAYS[row['rounded']][0]:36s} {row['bpb_pct']:8.3f} {row['difference']:+.3f}",
            flush=True,
        )
        if options.output:
            options.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
