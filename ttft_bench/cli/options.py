"""The flags that commands share; what reads them is re-exported here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ttft_bench.cli import complete
from ttft_bench.cli.parsing import parse_names, parse_numbers, parse_rates, parse_seconds
from ttft_bench.cli.resolving import default_output, find_falsifiers, resolve_suite

#: Headings of the flags in ``--help``.
_COMPARED, _TEXT, _TRAINING, _MACHINE = "What is compared", "Texts and pools", "Model, training and scoring", "Machine"
_LEAKS = "Leaks"  # apart, as the names of its flags would squeeze the others


Strategies = Annotated[
    str | None,
    typer.Option(
        "--strategies",
        help='Strategies to compare, e.g. "hullft,sift[lam=1],knn".',
        autocompletion=complete.strategies,
        rich_help_panel=_COMPARED,
    ),
]
SuiteName = Annotated[
    str,
    typer.Option(
        "--suite", help="Name of an installed suite.", autocompletion=complete.suite, rich_help_panel=_COMPARED
    ),
]
Variants = Annotated[
    str | None,
    typer.Option(
        "--variants", help="Only these variants of a suite that has several, e.g. k50,k200.", rich_help_panel=_COMPARED
    ),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="Suite file (TOML) to use instead of --suite.", rich_help_panel=_COMPARED),
]
Corpus = Annotated[
    str | None,
    typer.Option(
        "--corpus",
        help="Corpus name, a JSONL, Parquet or text file or a folder of them, or pile[:PATH or hub id].",
        autocompletion=complete.corpus,
        rich_help_panel=_TEXT,
    ),
]
Subsets = Annotated[
    str | None, typer.Option("--subsets", help="Only these subsets, e.g. wikipedia,licences.", rich_help_panel=_TEXT)
]
PromptsPerSubset = Annotated[
    int | None,
    typer.Option("--prompts-per-subset", min=1, help="Prompts per subset. [as the suite says]", rich_help_panel=_TEXT),
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="At most so many prompts per subset.", rich_help_panel=_TEXT)
]
Budgets = Annotated[
    str | None,
    typer.Option("--budgets", help="Picks per prompt, a step each, e.g. 1,5,10-20.", rich_help_panel=_COMPARED),
]
ReuseFlag = Annotated[
    str | None,
    typer.Option("--reuse", help="Gradient reuse intervals, e.g. 1,2 (1 = no reuse).", rich_help_panel=_COMPARED),
]
Grouping = Annotated[
    str | None,
    typer.Option(
        "--reuse-grouping",
        help="runs (keep the order), global (equal items together), or both as a list.",
        autocompletion=complete.words("runs", "global"),
        rich_help_panel=_COMPARED,
    ),
]
ReuseMode = Annotated[
    str | None,
    typer.Option(
        "--reuse-mode",
        help="What sharing a gradient means: cached, skip, scale-lr, weighted-loss; or a list.",
        autocompletion=complete.words("cached", "skip", "scale-lr", "weighted-loss"),
        rich_help_panel=_COMPARED,
    ),
]
Arms = Annotated[
    str | None,
    typer.Option(
        "--arms",
        help="What picks are for: finetune, none, in-context, in-context+finetune; or a list.",
        autocompletion=complete.words("finetune", "none", "in-context", "in-context+finetune"),
        rich_help_panel=_COMPARED,
    ),
]
LearningRate = Annotated[
    str | None,
    typer.Option("--lr", help="Learning rate, or a list to compare, e.g. 1e-5,5e-5.", rich_help_panel=_TRAINING),
]
Trainable = Annotated[
    str | None,
    typer.Option(
        "--trainable",
        help="Weights to train: full, lora[r=8,alpha=16], last[k=1] or bias+norm.",
        autocompletion=complete.words("full", "lora", "last", "bias+norm"),
        rich_help_panel=_TRAINING,
    ),
]
OptimizerName = Annotated[
    str | None,
    typer.Option(
        "--optimizer",
        help="adam, adamw[weight_decay=0.01] or sgd[momentum=0.0].",
        autocompletion=complete.words("adam", "adamw", "sgd"),
        rich_help_panel=_TRAINING,
    ),
]
Clip = Annotated[
    float | None, typer.Option("--clip", help="Largest norm of a gradient. [no clipping]", rich_help_panel=_TRAINING)
]
BatchSize = Annotated[
    int | None, typer.Option("--batch", help="Picks that one step trains on.", rich_help_panel=_TRAINING)
]
Long = Annotated[
    str | None,
    typer.Option(
        "--long",
        help="Documents beyond --max-tokens: truncate, or one step per chunk.",
        autocompletion=complete.words("truncate", "chunk"),
        rich_help_panel=_TRAINING,
    ),
]


def _backend_flag(auto: str) -> Any:
    return typer.Option(
        "--backend",
        help=f"auto ({auto}), eager or compiled.",
        autocompletion=complete.words("auto", "eager", "compiled"),
        rich_help_panel=_MACHINE,
    )


Backend = Annotated[str, _backend_flag("compiled on CUDA, eager elsewhere")]
#: Of a command that works on one prompt: compiling takes minutes where its steps take a second.
BackendOfOne = Annotated[str, _backend_flag("eager: one prompt does not repay compiling")]
Lanes = Annotated[
    int,
    typer.Option(
        "--lanes",
        min=1,
        help="Prompts at once on the device, 10 at most on a GPU: faster sweeps, but no true latencies.",
        rich_help_panel=_MACHINE,
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of the run.", rich_help_panel=_COMPARED)]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Language model: asset name, local folder or hub id.",
        autocompletion=complete.model,
        rich_help_panel=_TRAINING,
    ),
]
EmbedderName = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        help="Embedding model: asset, local folder or hub id, hashed-words, shuffled[NAME].",
        autocompletion=complete.embedder,
        rich_help_panel=_TEXT,
    ),
]
PoolK = Annotated[int | None, typer.Option("--pool-k", help="Candidates per prompt.", rich_help_panel=_TEXT)]
PoolSource = Annotated[
    str | None,
    typer.Option(
        "--pool-source",
        help="Where candidates come from: embedding, random or bm25.",
        autocompletion=complete.words("embedding", "random", "bm25"),
        rich_help_panel=_TEXT,
    ),
]
ExcludeNearDuplicates = Annotated[
    bool | None,
    typer.Option(
        "--exclude-near-duplicates/--keep-near-duplicates",
        help="Keep near-duplicates of a prompt out of its pool. [as the suite says]",
        show_default=False,
        rich_help_panel=_LEAKS,
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option("--max-tokens", help="Token limit of training and scored sequences.", rich_help_panel=_TRAINING),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        "--bpb-protocol",
        help="window, document, or prefix (find by the first half, score the second).",
        autocompletion=complete.words("window", "document", "prefix"),
        rich_help_panel=_TRAINING,
    ),
]
SelectTimeout = Annotated[
    float | None,
    typer.Option(
        "--select-timeout",
        help="Seconds one select() call may take before it is stopped; the first one gets 30 more.",
        rich_help_panel=_MACHINE,
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

__all__ = [
    "default_output",
    "find_falsifiers",
    "parse_names",
    "parse_numbers",
    "parse_rates",
    "parse_seconds",
    "resolve_suite",
]
