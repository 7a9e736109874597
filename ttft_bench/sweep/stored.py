"""Picks that were stored before: narrowed to what a sweep asks for, with what they were made with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttft_bench.corpus.sources import EMBEDDING
from ttft_bench.errors import CorpusError, PluginError, SpecError, UsageError
from ttft_bench.prefix import FIRST_HALF
from ttft_bench.sweep import store
from ttft_bench.sweep.agreement import check_suite, check_there, listed
from ttft_bench.sweep.plan import Job, build_probed, picked_arms, useful_reuse
from ttft_bench.sweep.record import SELECTION_KEYS
from ttft_bench.sweep.request import Request
from ttft_bench.sweep.suite import Suite

if TYPE_CHECKING:
    from ttft_bench.specs import Spec
    from ttft_bench.sweep.picks import Picks


@dataclass(frozen=True)
class Stored:
    """A folder of stored picks, narrowed to what was asked for; ``suite`` says what they were made with.

    ``left_out`` says in a line what the budgets that were asked for leave nothing of; empty if they do not.
    """

    suite: Suite
    identity: dict[str, Any]
    jobs: list[Job]
    prompts: list[str]
    picks: Picks
    left_out: str = ""


def from_picks(request: Request) -> Stored:
    """Read the folder ``request.picks`` and keep what its suite asks for.

    Raises:
        CorpusError: the folder holds no picks, none for one of these subsets, or lacks a text that one names.
        UsageError: it lacks a strategy or budget that was asked for, goes with another suite or protocol, or is a merge
            of picks that were not made alike.
        SpecError: a strategy does not parse or fit.
    """
    from ttft_bench.registry import parse_specs
    from ttft_bench.sweep.picks import load_picks

    assert request.picks is not None
    manifest = store.read_manifest(request.picks) or {}
    _refuse_mixture(request.picks, manifest)
    check_suite(request.picks, request.suite.name)
    picks = load_picks(request.picks)
    there = sorted({record["strategy"] for record in picks.records.values()})
    wanted = {_label(spec, there) for text in request.suite.select.strategies for spec in parse_specs(text)}
    missing = sorted(wanted - set(there))
    if missing:
        raise UsageError(
            f"{request.picks} holds no picks for {', '.join(missing)} (it has {', '.join(there) or 'none'}): leave "
            "them out of --strategies, or make them with `ttft-bench select`"
        )
    budgets = set(request.suite.select.budgets)
    check_there(request.picks, "--budgets", budgets, {record["budget"] for record in picks.records.values()})
    subsets = {prompt["subset"] for prompt in picks.prompts.values()}
    check_there(request.picks, "--subsets", set(request.suite.corpus.subsets or ()), subsets, CorpusError)
    found: dict[str, Job] = {}
    reuse = {
        label: useful_reuse(request.suite.select.reuse, _repeats(records))
        for label, records in _by_label(picks.records.values()).items()
    }
    for record in picks.records.values():
        label, control = record["strategy"], bool(record["control"])
        if (wanted and not control and label not in wanted) or record["budget"] not in budgets:
            continue
        before = found[label].budgets if label in found else ()
        found[label] = Job(
            label,
            record["spec"],
            record["distribution"],
            record["pool"],
            tuple(sorted({*before, record["budget"]})),
            (1,) if control else reuse[label],
            control,
            picked_arms(request.suite),
            bool(record.get("nested")),
        )
    if not any(not job.control for job in found.values()):
        raise UsageError(f"{request.picks} holds no picks for these strategies and budgets (it has {', '.join(there)})")
    before = manifest.get("identity", {})
    identity = {key: before[key] for key in SELECTION_KEYS if key in before}
    if (identity.get("query") == FIRST_HALF) != (request.suite.score.protocol == "prefix"):
        asked = "the first half" if identity.get("query") == FIRST_HALF else "all"
        raise UsageError(
            f"{request.picks} holds picks that were found with {asked} of each prompt, which does not go with "
            f"bpb-protocol {request.suite.score.protocol}: use another protocol, or make the picks again with this one"
        )
    made_with = (
        request.suite.with_changes("", seed=identity.get("seed"))
        .with_changes("corpus", source=identity.get("corpus"))
        .with_changes(
            "pool",
            embedder=identity.get("embedder"),
            k=identity.get("pool_k"),
            source=identity.get("pool_source") or EMBEDDING,
            index=identity.get("index") or "flat",
            exclude_near_duplicates=bool(identity.get("excluded")),
        )
    )
    prompts = wanted_prompts(picks, request)
    left_out = _left_out(request.picks, picks.records.values(), wanted, found, budgets)
    return Stored(made_with, identity, list(found.values()), prompts, picks, left_out)


def _refuse_mixture(picks: Path, manifest: Mapping[str, Any]) -> None:
    """A merge holds a list where its runs differ: which of the values a pick was made with, nothing says."""
    identity = manifest.get("identity") or {}
    mixed = [key for key in SELECTION_KEYS if isinstance(identity.get(key), list)]
    if mixed:
        differ = "; ".join(f"{key} is {' or '.join(map(str, identity[key]))}" for key in mixed)
        runs = ", ".join(str(part.get("path")) for part in manifest.get("merged") or ())
        raise UsageError(
            f"{picks} was merged from picks that were not made alike ({differ}): use the runs it was merged from"
            + (f" ({runs})" if runs else "")
        )


def _left_out(
    picks: Path, records: Iterable[dict[str, Any]], wanted: Container[str], kept: Container[str], budgets: set[int]
) -> str:
    """Name what has picks, but none at these budgets: as a rule controls, which are picked at the largest one only.

    The first of those picks cannot stand in: the time and the qualities that are stored with them are those of all.
    """
    there: dict[str, set[int]] = {}
    for record in records:
        label, control = record["strategy"], bool(record["control"])
        if label not in kept and (control or not wanted or label in wanted):
            there.setdefault(f"control {label}" if control else label, set()).add(record["budget"])
    if not there:
        return ""
    named = "; ".join(f"{name} (picked at N = {listed(found)} only)" for name, found in there.items())
    asked, more = listed(budgets), listed({*budgets, *(max(found) for found in there.values())})
    return (
        f"{picks} has no picks at --budgets {asked} for what is left out here: {named}. Give --budgets {more}, or make "
        f"picks with `ttft-bench select --budgets {asked}` and its other settings"
    )


def wanted_prompts(picks: Picks, request: Request) -> list[str]:
    """The stored prompts that are within the subsets and the limit asked for now."""
    corpus = request.suite.corpus
    limits = [n for n in (request.limit, corpus.prompts_per_subset) if n is not None]
    seen: Counter[str] = Counter()
    wanted = []
    for prompt_id, prompt in picks.prompts.items():
        subset = prompt["subset"]
        if corpus.subsets is not None and subset not in corpus.subsets:
            continue
        seen[subset] += 1
        if not limits or seen[subset] <= min(limits):
            wanted.append(prompt_id)
    return wanted


def _by_label(records: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        found.setdefault(record["strategy"], []).append(record)
    return found


def _repeats(records: Sequence[dict[str, Any]]) -> bool:
    """Whether a strategy may pick an item twice: as its picks state, or, where early ones do not, as it says itself.

    What the picks happen to hold does not count: one part of them may hold no repeats where another does.
    """
    stated = [record["repeats"] for record in records if "repeats" in record]
    if stated:
        return any(stated)
    try:
        return build_probed(records[0]["spec"]).repeats
    except (PluginError, SpecError):
        return True  # it is not on this machine; a row too many costs nothing


def _label(spec: Spec, stored: Container[str]) -> str:
    """The label that a spec is stored under: ``sift[lam=1]`` is stored as ``sift[lam=1.0]``.

    Picks of a plug-in that is not on this machine are found under the very label they were stored with.
    """
    if str(spec) in stored:
        return str(spec)
    try:
        return repr(build_probed(str(spec)))
    except PluginError:
        return str(spec)


__all__ = ["Stored", "from_picks", "wanted_prompts"]
