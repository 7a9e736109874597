"""Whether what a sweep is asked for goes with the picks that it is to finetune from.

Corpus, embedder, pool, exclusions and seed come with the picks, whatever the suite says: a flag may repeat them,
but not contradict them. The suite must be theirs; of its subsets, budgets, strategies and prompts fewer may be
asked for.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ttft_bench.corpus.sources import EMBEDDING
from ttft_bench.errors import TtftBenchError, UsageError
from ttft_bench.sweep import store

#: Folder of the runs of a suite with variants; ``ttft_bench.sweep.variants`` makes it.
VARIANTS = "variants"

#: Flag -> how the identity of the picks says what it sets.
_SETTLED: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "--corpus": lambda identity: identity.get("corpus"),
    "--embedder": lambda identity: identity.get("embedder"),
    "--pool-k": lambda identity: identity.get("pool_k"),
    "--pool-source": lambda identity: identity.get("pool_source") or EMBEDDING,
    "--exclude-near-duplicates": lambda identity: bool(identity.get("excluded")),
    "--seed": lambda identity: identity.get("seed"),
}


def check_flags(picks: Path, given: Mapping[str, Any]) -> None:
    """Refuse a flag that contradicts what the picks were made with.

    Args:
        picks: folder of the picks.
        given: flag -> value, None where it was not given: of what comes with the picks, ``--limit`` and
            ``--prompts-per-subset``.

    Raises:
        UsageError: naming the flag, both values and the remedy.
    """
    for manifest in _manifests(picks):
        identity = manifest.get("identity") or {}
        for flag, value in given.items():
            if value is None:
                continue
            if flag in _SETTLED:
                made = _SETTLED[flag](identity) if identity else None
                if made is not None and made != value:
                    raise UsageError(_contradiction(picks, flag, made, value, "leave it out"))
                continue
            most = (manifest.get("plan") or {}).get("prompts_per_subset")
            if most is not None and value > most:
                raise UsageError(_contradiction(picks, flag, most, value, f"give at most {most}"))


def check_suite(picks: Path, suite: str) -> None:
    """Refuse picks that were made for another suite: its model, budgets and strategies are not this one's.

    Raises:
        UsageError: naming both suites and the remedy.
    """
    if picks.parent.name == VARIANTS and not picks.is_dir():
        picks = picks.parent.parent  # it may have been made for a suite without this variant, or without any
    for manifest in _manifests(picks):
        made = (manifest.get("identity") or {}).get("suite")
        if made is not None and made != suite:
            raise UsageError(
                f"the picks in {picks} were made with suite {made}, and this is suite {suite}: give --suite {made} (or "
                f"--config with its file), or make other picks with `ttft-bench select --suite {suite}`"
            )


def check_there(
    picks: Path, flag: str, wanted: set[Any], there: set[Any], error: type[TtftBenchError] = UsageError
) -> None:
    """Refuse subsets or budgets of which the folder has no picks: a run with fewer would look like a whole one.

    Raises:
        TtftBenchError: ``error``, naming the flag, what is missing, what there is, and the remedy.
    """
    if wanted - there:
        shared, asked = shlex.quote(listed(wanted & there) or listed(there)), shlex.quote(listed(wanted))
        raise error(
            f"{picks} holds no picks for {flag} {listed(wanted - there)} (it has {listed(there)}): give {flag} "
            f"{shared}, or make them with `ttft-bench select {flag} {asked}` and its other settings"
        )


def listed(values: set[Any]) -> str:
    """Values as a flag takes them."""
    return ",".join(map(str, sorted(values)))


def _contradiction(picks: Path, flag: str, made: Any, value: Any, remedy: str) -> str:
    asked, before = f"{flag} {value}", f"{flag} {made}"
    if isinstance(value, bool):
        names = {True: "--exclude-near-duplicates", False: "--keep-near-duplicates"}
        asked, before = names[value], names[bool(made)]
    return (
        f"{asked} does not go with the picks in {picks}, which were made with {before}: {remedy}, or make other picks "
        f"with `ttft-bench select {asked}` and its other settings"
    )


def _manifests(picks: Path) -> Iterator[dict[str, Any]]:
    """The manifest of the picks, or those of the variants they were made for."""
    for folder in (picks, *sorted((picks / VARIANTS).glob("*"))):
        manifest = store.read_manifest(folder)
        if manifest is not None and (manifest.get("identity") or {}):
            yield manifest


__all__ = ["VARIANTS", "check_flags", "check_suite", "check_there", "listed"]
