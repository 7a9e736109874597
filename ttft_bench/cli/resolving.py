"""The suite a command works on once flags have had their say, and where its run goes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ttft_bench.cli.parsing import parse_names, parse_numbers, parse_rates
from ttft_bench.errors import UsageError

if TYPE_CHECKING:
    from ttft_bench.sweep.parts import Variant
    from ttft_bench.sweep.suite import Suite


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
    """The file that was given, or all installed ones; what is broken is told and left out."""
    from ttft_bench.cli.console import note
    from ttft_bench.registry import FALSIFIERS, files

    return [given] if given is not None else files(FALSIFIERS, note)


def default_output(name: str) -> Path:
    """``reports/<date>_<name>`` under the current folder; numbered where that is a curated record.

    A curated run is kept without the texts (``documents.jsonl``): it is a record of what was measured, not a
    run to go on with, so a new run never writes into it.
    """
    from itertools import count

    from ttft_bench.sweep.store import DOCUMENTS, MANIFEST, has_journal

    base = f"{_today()}_{name}"
    candidates = (Path("reports") / (base if number == 1 else f"{base}-{number}") for number in count(1))
    return next(path for path in candidates if not (path / MANIFEST).exists() or has_journal(path / DOCUMENTS))


def _today() -> str:
    from datetime import datetime

    return f"{datetime.now().astimezone():%Y-%m-%d}"


__all__ = ["default_output", "find_falsifiers", "resolve_suite"]
