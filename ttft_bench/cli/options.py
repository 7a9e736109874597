"""The flags that commands share, and the suite a command works on once flags have had their say."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ttft_bench.cli import complete
from ttft_bench.cli.parsing import parse_names, parse_numbers, parse_rates, parse_seconds
from ttft_bench.errors import UsageError

if TYPE_CHECKING:
    from ttft_bench.sweep.parts import Variant
    from ttft_bench.sweep.suite import Suite

Strategies = Annotated[
    str | None,
    typer.Option(
        "--strategies",
        help='Strategies to compare, e.g. "hullft,sift[lam=1],knn".',
        autocompletion=complete.strategies,
    ),
]
SuiteName = Annotated[str, typer.Option("--suite", help="Name of an installed suite.", autocompletion=complete.suite)]
Variants = Annotated[
    str | None, typer.Option("--variants", help="Only these variants of a suite that has several, e.g. k50,k200.")
]
Config = Annotated[Path | None, typer.Option("--config", help="Suite file (TOML) to use instead of --suite.")]
Corpus = Annotated[
    str | None,
    typer.Option(
        "--corpus",
        help="Corpus name, a JSONL, Parquet or text file or a folder of them, or pile[:PATH or hub id].",
        autocompletion=complete.corpus,
    ),
]
Subsets = Annotated[str | None, typer.Option("--subsets", help="Only these subsets, e.g. wikipedia,licences.")]
PromptsPerSubset = Annotated[
    int | None, typer.Option("--prompts-per-subset", min=1, help="Prompts per subset. [as the suite says]")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most so many prompts per subset.")]
Budgets = Annotated[str | None, typer.Option("--budgets", help="Picks per prompt, a step each, e.g. 1,5,10-20.")]
ReuseFlag = Annotated[str | None, typer.Option("--reuse", help="Gradient reuse intervals, e.g. 1,2 (1 = no reuse).")]
Grouping = Annotated[
    str | None,
    typer.Option(
        "--reuse-grouping",
        help="runs (keep the order), global (equal items together), or both.",
        autocompletion=complete.words("runs", "global"),
    ),
]
ReuseMode = Annotated[
    str | None,
    typer.Option(
        "--reuse-mode",
        help="What sharing a gradient means: cached, skip, scale-lr, weighted-loss; or a list.",
        autocompletion=complete.words("cached", "skip", "scale-lr", "weighted-loss"),
    ),
]
Arms = Annotated[
    str | None,
    typer.Option(
        "--arms",
        help="What picks are for: finetune, none, in-context, in-context+finetune; or a list.",
        autocompletion=complete.words("finetune", "none", "in-context", "in-context+finetune"),
    ),
]
LearningRate = Annotated[str | None, typer.Option("--lr", help="Learning rate, or a list to compare, e.g. 1e-5,5e-5.")]
Trainable = Annotated[
    str | None,
    typer.Option(
        "--trainable",
        help="Weights to train: full, lora[r=8,alpha=16], last[k=1] or bias+norm.",
        autocompletion=complete.words("full", "lora", "last", "bias+norm"),
    ),
]
OptimizerName = Annotated[
    str | None,
    typer.Option(
        "--optimizer",
        help="adam, adamw[weight_decay=0.01] or sgd[momentum=0.0].",
        autocompletion=complete.words("adam", "adamw", "sgd"),
    ),
]
Clip = Annotated[float | None, typer.Option("--clip", help="Largest norm of a gradient. [no clipping]")]
BatchSize = Annotated[int | None, typer.Option("--batch", help="Picks that one step trains on.")]
Long = Annotated[
    str | None,
    typer.Option(
        "--long",
        help="Documents beyond --max-tokens: truncate, or one step per chunk.",
        autocompletion=complete.words("truncate", "chunk"),
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        "--backend",
        help="auto (compiled on CUDA, eager elsewhere), eager or compiled.",
        autocompletion=complete.words("auto", "eager", "compiled"),
    ),
]
Lanes = Annotated[
    int, typer.Option("--lanes", min=1, help="Prompts at once on the device: faster sweeps, but no true latencies.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of the run.")]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Language model: asset name, local folder or hub id.",
        autocompletion=complete.model,
    ),
]
EmbedderName = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        help="Embedding model: asset, local folder or hub id, hashed-words, shuffled[NAME].",
        autocompletion=complete.embedder,
    ),
]
PoolK = Annotated[int | None, typer.Option("--pool-k", help="Candidates per prompt.")]
PoolSource = Annotated[
    str | None,
    typer.Option(
        "--pool-source",
        help="Where candidates come from: embedding, random or bm25.",
        autocompletion=complete.words("embedding", "random", "bm25"),
    ),
]
ExcludeNearDuplicates = Annotated[
    bool | None,
    typer.Option(
        "--exclude-near-duplicates/--keep-near-duplicates",
        help="Keep near-duplicates of a prompt out of its pool. [as the suite says]",
        show_default=False,
    ),
]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", help="Token limit of training and scored sequences.")]
Protocol = Annotated[
    str | None,
    typer.Option(
        "--bpb-protocol",
        help="window, document, or prefix (find by the first half, score the second).",
        autocompletion=complete.words("window", "document", "prefix"),
    ),
]
SelectTimeout = Annotated[
    float | None,
    typer.Option(
        "--select-timeout", help="Seconds one select() call may take before it is stopped; the first one gets 30 more."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Run folder; the same folder again goes on with the run. [reports/DATE_SUITE]",
    ),
]
Falsifiers = Annotated[
    Path | None, typer.Option("--falsifiers", help="TOML file of falsifiers; all installed ones by default.")
]
AcrossDevices = Annotated[
    bool,
    typer.Option(
        "--across-devices", help="Compare qualities across devices, backends and lanes; times only on the usual one."
    ),
]


def _one_or_more(text: str | None) -> str | tuple[str, ...] | None:
    """One name as itself, several as a tuple."""
    names = parse_names(text)
    return text if names is None or len(names) < 2 else names


def resolve_suite(
    suite: str,
    config: Path | None,
    *,
    strategies: str | None = None,
    corpus: str | None = None,
    subsets: str | None = None,
    prompts_per_subset: int | None = None,
    budgets: str | None = None,
    reuse: str | None = None,
    grouping: str | None = None,
    seed: int | None = None,
    model: str | None = None,
    embedder: str | None = None,
    pool_k: int | None = None,
    pool_source: str | None = None,
    exclude_near_duplicates: bool | None = None,
    max_tokens: int | None = None,
    precision: str | None = None,
    lr: str | None = None,
    reuse_mode: str | None = None,
    arms: str | None = None,
    trainable: str | None = None,
    optimizer: str | None = None,
    clip: float | None = None,
    batch: int | None = None,
    long: str | None = None,
    protocol: str | None = None,
    select_timeout: float | None = None,
    variants: str | None = None,
) -> Suite:
    """Load the suite and apply the flags that were given: flag > suite file > default.

    Raises:
        UsageError: a flag cannot be, sets what the suite varies, or names a variant that it has not.
    """
    from ttft_bench.registry import parse_specs
    from ttft_bench.sweep.suite import load_suite

    specs = tuple(str(spec) for spec in parse_specs(strategies)) if strategies is not None else None
    base = load_suite(str(config) if config is not None else suite)
    shape = (
        corpus,
        subsets,
        prompts_per_subset,
        budgets,
        reuse,
        grouping,
        model,
        embedder,
        pool_k,
        max_tokens,
        precision,
        lr,
        protocol,
    )
    training = (reuse_mode, arms, trainable, optimizer, clip, batch, long)
    if any(value is not None for value in (*shape, *training, pool_source, exclude_near_duplicates)):
        # What the suite says of itself no longer holds.
        base = base.with_changes("", purpose=f"the suite {base.name} with settings of its own", answers="")
    if corpus is not None and corpus != base.corpus.source:
        # The suite's subsets are those of its own corpus.
        base = dataclasses.replace(base, corpus=dataclasses.replace(base.corpus, subsets=None))
    chosen = (
        base.with_changes("", seed=seed, variants=_choose(base, parse_names(variants)))
        .with_changes("corpus", source=corpus, subsets=parse_names(subsets), prompts_per_subset=prompts_per_subset)
        .with_changes(
            "pool",
            embedder=embedder,
            k=pool_k,
            source=pool_source,
            exclude_near_duplicates=exclude_near_duplicates,
        )
        .with_changes(
            "select",
            strategies=specs,
            budgets=parse_numbers(budgets, "budget") if budgets is not None else None,
            reuse=parse_numbers(reuse, "reuse interval") if reuse is not None else None,
            grouping=_one_or_more(grouping),
            reuse_mode=parse_names(reuse_mode),
            arms=parse_names(arms),
            timeout_s=select_timeout,
        )
        .with_changes("model", name=model, max_tokens=max_tokens, precision=precision)
        .with_changes(
            "finetune",
            lr=parse_rates(lr) if lr is not None else None,
            optimizer=optimizer,
            trainable=trainable,
            clip=clip,
            batch=batch,
            long=long,
        )
        .with_changes("score", protocol=protocol)
    )
    _refuse_varied(base, chosen)
    return chosen


def _choose(suite: Suite, labels: tuple[str, ...] | None) -> tuple[Variant, ...] | None:
    from ttft_bench.specs import nearest

    known = {variant.label: variant for variant in suite.variants}
    for label in labels or ():
        if label not in known:
            there = ", ".join(known) or "none"
            raise UsageError(f"suite {suite.name} has no variant {label!r}{nearest(label, known)} (it has: {there})")
    return tuple(known[label] for label in labels) if labels else None


def _refuse_varied(before: Suite, after: Suite) -> None:
    for variant in after.variants:
        for section, changes in variant.changes.items():
            for key in changes:
                if getattr(getattr(before, section), key) != getattr(getattr(after, section), key):
                    labels = ",".join(item.label for item in before.variants)
                    raise UsageError(
                        f"suite {before.name} varies {section}.{key} itself: leave the flag out, or choose among its "
                        f"variants with --variants {labels}"
                    )


def find_falsifiers(given: Path | None) -> list[Path]:
    """The file that was given, or all installed ones."""
    from ttft_bench.registry import FALSIFIERS, files

    return [given] if given is not None else list(files(FALSIFIERS))


def default_output(name: str) -> Path:
    """``reports/<date>_<name>`` under the current folder; numbered where that is a curated record.

    A curated run is kept without the texts (``documents.jsonl``): it is a record of what was measured, not a
    run to go on with, so a new run never writes into it.
    """
    from datetime import datetime
    from itertools import count

    from ttft_bench.sweep.store import DOCUMENTS, MANIFEST, has_journal

    base = f"{datetime.now().astimezone():%Y-%m-%d}_{name}"
    candidates = (Path("reports") / (base if number == 1 else f"{base}-{number}") for number in count(1))
    return next(path for path in candidates if not (path / MANIFEST).exists() or has_journal(path / DOCUMENTS))


__all__ = [
    "default_output",
    "find_falsifiers",
    "parse_names",
    "parse_numbers",
    "parse_rates",
    "parse_seconds",
    "resolve_suite",
]
