"""``ttft-bench sweep``: select, finetune, score, report."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ttft_bench.cli import complete, options
from ttft_bench.cli.console import WARNING, note, print_json, stderr, stdout, verbose
from ttft_bench.cli.progress import ConsoleReporter
from ttft_bench.cli.tables import show_table
from ttft_bench.errors import EXIT_CELLS_FAILED, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from ttft_bench.sweep.request import Request


def sweep(
    strategies: options.Strategies = None,
    suite: options.SuiteName = "quick",
    config: options.Config = None,
    variants: options.Variants = None,
    corpus: options.Corpus = None,
    subsets: options.Subsets = None,
    prompts_per_subset: options.PromptsPerSubset = None,
    limit: options.Limit = None,
    budgets: options.Budgets = None,
    reuse: options.ReuseFlag = None,
    reuse_grouping: options.Grouping = None,
    reuse_mode: options.ReuseMode = None,
    arms: options.Arms = None,
    seed: options.Seed = None,
    model: options.ModelName = None,
    embedder: options.EmbedderName = None,
    pool_k: options.PoolK = None,
    pool_source: options.PoolSource = None,
    exclude_near_duplicates: options.ExcludeNearDuplicates = None,
    max_tokens: options.MaxTokens = None,
    lr: options.LearningRate = None,
    optimizer: options.OptimizerName = None,
    trainable: options.Trainable = None,
    clip: options.Clip = None,
    batch: options.BatchSize = None,
    long: options.Long = None,
    protocol: options.Protocol = None,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            help="auto, cpu, cuda, cuda:1 or mps.",
            rich_help_panel="Machine",
            autocompletion=complete.words("auto", "cpu", "cuda", "mps"),
        ),
    ] = "auto",
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            help="fp32, tf32, bf16, or auto: bf16 where it is much faster, else fp32.",
            rich_help_panel="Machine",
            autocompletion=complete.words("auto", "fp32", "tf32", "bf16"),
        ),
    ] = None,
    backend: options.Backend = "auto",
    lanes: options.Lanes = 1,
    picks: Annotated[
        Path | None,
        typer.Option(
            "--picks",
            help=(
                "Finetune from the picks in this folder; select nothing. Give the settings of the `select` that made "
                "them: suite, strategies, budgets, subsets, limit (or fewer); pool and seed come with the picks."
            ),
            autocompletion=complete.run,
        ),
    ] = None,
    select_timeout: options.SelectTimeout = None,
    output: options.Output = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the cells, how many are done, and an estimate; run nothing but fetch what is counted.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report's figures, or the plan of --dry-run, as one JSON object.")
    ] = False,
) -> None:
    """Sweep strategies, budgets and gradient reuse over prompts; report quality against time.

    Run the same command again and it goes on where it was stopped.
    """
    from ttft_bench.sweep.agreement import check_flags
    from ttft_bench.sweep.request import Request
    from ttft_bench.sweep.run import run_sweep
    from ttft_bench.sweep.variants import run_all

    if picks is not None:
        settled = {
            "--corpus": corpus,
            "--embedder": embedder,
            "--pool-k": pool_k,
            "--pool-source": pool_source,
            "--exclude-near-duplicates": exclude_near_duplicates,
            "--seed": seed,
        }
        check_flags(picks, {**settled, "--limit": limit, "--prompts-per-subset": prompts_per_subset})
    resolved = options.resolve_suite(
        suite,
        config,
        strategies=strategies,
        corpus=corpus,
        subsets=subsets,
        prompts_per_subset=prompts_per_subset,
        budgets=budgets,
        reuse=reuse,
        grouping=reuse_grouping,
        seed=seed,
        model=model,
        embedder=embedder,
        pool_k=pool_k,
        pool_source=pool_source,
        exclude_near_duplicates=exclude_near_duplicates,
        max_tokens=max_tokens,
        precision=precision,
        lr=lr,
        reuse_mode=reuse_mode,
        arms=arms,
        trainable=trainable,
        optimizer=optimizer,
        clip=clip,
        batch=batch,
        long=long,
        protocol=protocol,
        select_timeout=select_timeout,
        variants=variants,
    )
    folder = output or options.default_output(resolved.name)
    request = Request(resolved, folder, limit, device, picks, tuple(sys.argv[1:]), backend, lanes)
    if dry_run:
        return _show_plan(request, as_json)
    with ConsoleReporter() as reporter:
        reporter.note(_first_line(request))
        try:
            outcome = run_all(run_sweep, request, reporter, merge=True)
        except KeyboardInterrupt:
            reporter.tell(f"interrupted; everything finished is kept. To go on: {_command(folder)}")
            raise typer.Exit(EXIT_INTERRUPTED) from None
    _report(folder, as_json)
    if outcome.failed:
        stderr().print(f"{outcome.failed} of {outcome.ok + outcome.failed} cells failed; {folder} says why")
        raise typer.Exit(EXIT_CELLS_FAILED)
    return None


def _first_line(request: Request) -> str:
    suite = request.suite
    strategies = ", ".join(suite.select.strategies) if suite.select.strategies else "stored picks"
    budgets = ",".join(map(str, suite.select.budgets))
    reuse = ",".join(map(str, suite.select.reuse))
    labels = f" as {', '.join(variant.label for variant in suite.variants)}" if suite.variants else ""
    return f"suite {suite.name}{labels}: {strategies}; budgets {budgets}; reuse {reuse}; into {request.folder}"


def _command(folder: Path) -> str:
    words = list(sys.argv[1:])
    if "--output" not in words and "-o" not in words:
        words += ["--output", str(folder)]
    return shlex.join(["ttft-bench", *words])


def _report(folder: Path, as_json: bool) -> None:
    from ttft_bench.report import build_report

    report = build_report(folder, falsifiers=options.find_falsifiers(None))
    if as_json:
        print_json(report.to_json())
    else:
        console = stdout()
        show_table(report.table)
        console.print(report.summary)
        for line in report.notes:
            console.print(line)
    for fault in report.falsifier_faults:
        note(f"{WARNING}{fault}")
    if verbose():
        for path in report.paths:
            note(f"wrote {path}")
    page = "".join(f"; the page is {path}" for path in report.paths if path.suffix == ".html")
    note(f"wrote {len(report.paths)} files into {folder}{page}")


def _show_plan(request: Request, as_json: bool) -> None:
    from ttft_bench.engine.model import resolve_device
    from ttft_bench.engine.opening import resolve_backend
    from ttft_bench.sweep.preview import preview

    with ConsoleReporter() as reporter:
        found = preview(request, reporter)
    if as_json:
        return print_json(found.to_json())
    console = stdout()
    for job in found.jobs:
        budgets, reuse = ",".join(map(str, job.budgets)), ",".join(map(str, job.reuse))
        kind = "control" if job.control else "strategy"
        source = job.distribution or "the untouched model"
        prefix = f"{job.variant}: " if job.variant else ""
        told = f"{prefix}{kind} {job.strategy} ({source}): budgets {budgets}; reuse {reuse}; {job.cells} cells"
        console.print(told)
    counts = f"{found.cells} cells, {found.done} done, {found.to_go} to go"
    console.print(f"{found.prompts} prompts, {counts}")
    if found.finetune_s is None:
        console.print("time: unknown until the model is here")
    else:
        compiled = resolve_backend(request.backend, resolve_device(request.device)) == "compiled"
        besides = " and what compiling takes" if compiled and found.to_go else ""
        console.print(
            f"time: about {found.finetune_s / 60:.1f} min of finetuning{besides}, "
            "on this machine if it is otherwise idle"
        )
    console.print(f"into {found.folder}")
    return None
