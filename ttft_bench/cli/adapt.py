"""``ttft-bench adapt``: adapt the model to one prompt, and show what that changed and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ttft_bench.cli import complete, options
from ttft_bench.cli.console import print_json, stdout
from ttft_bench.cli.corpus_parts import AsJson, PerSubset, make_table
from ttft_bench.cli.progress import ConsoleReporter
from ttft_bench.cli.tables import show_table


def adapt(
    corpus: Annotated[
        str,
        typer.Option(
            "--corpus",
            help="What may be trained on: a folder or file of texts, or a corpus name.",
            autocompletion=complete.corpus,
        ),
    ],
    prompt: Annotated[str | None, typer.Argument(help="The text to adapt to; - reads standard input.")] = None,
    prompt_file: Annotated[
        Path | None, typer.Option("--prompt-file", help="Read the prompt from this file instead.")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            "--strategy",
            help='What picks: a spec such as "hullft" or "sift[lam=1]".',
            autocompletion=complete.strategy,
        ),
    ] = None,
    budget: Annotated[int | None, typer.Option("--budget", min=1, help="Training steps. [20]")] = None,
    budget_s: Annotated[
        float | None,
        typer.Option("--budget-s", help="Seconds of training steps instead: as many as the pace measured here allows."),
    ] = None,
    reuse: Annotated[int, typer.Option("--reuse", min=1, help="Steps in a row that share a gradient.")] = 1,
    grouping: Annotated[
        str, typer.Option("--reuse-grouping", help="runs (keep the order) or global (equal items together).")
    ] = "runs",
    generate: Annotated[bool, typer.Option("--generate", help="Continue the prompt, before and after.")] = False,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Tokens of a continuation.")] = 64,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0, help="Of the continuation; 0 takes the likeliest token.")
    ] = 0.0,
    score: Annotated[
        Path | None, typer.Option("--score", help="Score the text of this file too, before and after.")
    ] = None,
    model: options.ModelName = None,
    embedder: options.EmbedderName = None,
    pool_k: options.PoolK = None,
    exclude_near_duplicates: Annotated[
        bool, typer.Option("--exclude-near-duplicates", help="Keep near-duplicates of the prompt out of training.")
    ] = False,
    subsets: options.Subsets = None,
    train_per_subset: PerSubset = None,
    max_tokens: options.MaxTokens = None,
    learning_rate: Annotated[float | None, typer.Option("--lr", help="Learning rate. [5e-5]")] = None,
    trainable: options.Trainable = None,
    optimizer: options.OptimizerName = None,
    protocol: options.Protocol = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    precision: Annotated[
        str, typer.Option("--precision", help="fp32, tf32, bf16, or auto: bf16 where it is much faster, else fp32.")
    ] = "auto",
    backend: options.BackendOfOne = "auto",
    seed: Annotated[int, typer.Option("--seed", help="Of strategies and continuations that draw.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Adapt the model to one prompt: find, select, finetune; score before and after; nothing is kept.

    Example: ttft-bench adapt --corpus my-notes/ "The first words of a text like them"
    """
    from ttft_bench.lab.given import read_prompt, read_scored

    # What is given comes first: a slip is told before torch is imported, a corpus embedded or a model loaded.
    text = read_prompt(prompt, prompt_file, protocol or "window")
    other = read_scored(score) if score is not None else None
    from ttft_bench.lab.adapt import adapt as adapt_to
    from ttft_bench.lab.adapt import open_lab
    from ttft_bench.lab.shown import closing, headline, outcome_to_json, pick_rows

    given = {
        "model": model,
        "strategy": strategy,
        "embedder": embedder,
        "pool_k": pool_k,
        "subsets": options.parse_names(subsets),
        "max_tokens": max_tokens,
        "lr": learning_rate,
        "trainable": trainable,
        "optimizer": optimizer,
        "protocol": protocol,
    }
    with ConsoleReporter() as reporter:
        lab = open_lab(
            corpus=corpus,
            budget=budget,
            budget_s=budget_s,
            reuse=reuse,
            reuse_grouping=grouping,
            exclude_near_duplicates=exclude_near_duplicates,
            train_per_subset=train_per_subset,
            device=device,
            precision=precision,
            backend="eager" if backend == "auto" else backend,
            seed=seed,
            note=reporter.note,
            on_progress=reporter.progress,
            **{key: value for key, value in given.items() if value is not None},
        )
        tokens = max_new_tokens if generate else None
        outcome = adapt_to(lab, text, other=other, new_tokens=tokens, temperature=temperature, seed=seed)
    if as_json:
        print_json(outcome_to_json(outcome))
        return
    console = stdout()
    for line in headline(outcome):
        console.print(line)
    # Into a file or pipe there is room.
    show_table(make_table(pick_rows(outcome.selection, console.width if console.is_terminal else 200)))
    for line in closing(outcome):
        console.print(line)


__all__ = ["adapt"]
