"""``ttft-bench select``: make and store picks, finetune nothing."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ttft_bench.cli import options
from ttft_bench.cli.console import print_json, stderr, stdout
from ttft_bench.cli.progress import ConsoleReporter
from ttft_bench.errors import EXIT_CELLS_FAILED, EXIT_INTERRUPTED


def select(
    strategies: options.Strategies = None,
    suite: options.SuiteName = "quick",
    config: options.Config = None,
    variants: options.Variants = None,
    corpus: options.Corpus = None,
    subsets: options.Subsets = None,
    prompts_per_subset: options.PromptsPerSubset = None,
    limit: options.Limit = None,
    budgets: options.Budgets = None,
    seed: options.Seed = None,
    model: options.ModelName = None,
    embedder: options.EmbedderName = None,
    pool_k: options.PoolK = None,
    pool_source: options.PoolSource = None,
    exclude_near_duplicates: options.ExcludeNearDuplicates = None,
    max_tokens: options.MaxTokens = None,
    protocol: options.Protocol = None,
    select_timeout: options.SelectTimeout = None,
    output: options.Output = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a line.")] = False,
) -> None:
    """Make and store every strategy's picks; `ttft-bench sweep --picks FOLDER` finetunes from them.

    The folder is all that another machine needs: neither cvxpy, faiss nor the embedder. The sweep is given the same
    suite, strategies, budgets, subsets and limit, or fewer of them.
    """
    from ttft_bench.sweep.request import Request
    from ttft_bench.sweep.run import run_selection
    from ttft_bench.sweep.variants import run_all

    resolved = options.resolve_suite(
        suite,
        config,
        strategies=strategies,
        corpus=corpus,
        subsets=subsets,
        prompts_per_subset=prompts_per_subset,
        budgets=budgets,
        seed=seed,
        model=model,
        embedder=embedder,
        pool_k=pool_k,
        pool_source=pool_source,
        exclude_near_duplicates=exclude_near_duplicates,
        max_tokens=max_tokens,
        protocol=protocol,
        select_timeout=select_timeout,
        variants=variants,
    )
    folder = output or options.default_output(f"{resolved.name}_picks")
    with ConsoleReporter() as reporter:
        try:
            outcome = run_all(run_selection, Request(resolved, folder, limit, argv=tuple(sys.argv[1:])), reporter)
        except KeyboardInterrupt:
            reporter.tell(f"interrupted; picks made so far are kept in {folder}")
            raise typer.Exit(EXIT_INTERRUPTED) from None
    if as_json:
        print_json({"folder": str(folder), "ok": outcome.ok, "failed": outcome.failed})
    else:
        stdout().print(f"{outcome.ok} selections in {folder}")
    if outcome.failed:
        stderr().print(f"{outcome.failed} selections failed; picks.jsonl says why")
        raise typer.Exit(EXIT_CELLS_FAILED)
