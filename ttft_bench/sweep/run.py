"""A run from beginning to end: prepare, select, finetune; everything resumable, everything recorded."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ttft_bench.sweep import store
from ttft_bench.sweep.beside import added_beside
from ttft_bench.sweep.plan import Cell, Job, base_jobs, make_cells, make_jobs
from ttft_bench.sweep.record import (
    cell_identity,
    engine_identity,
    open_manifest,
    recorded,
    selection_identity,
)
from ttft_bench.sweep.request import Outcome, Reporter, Request
from ttft_bench.sweep.stage import finetune_cells, finished_cells
from ttft_bench.sweep.stored import Stored, from_picks, wanted_prompts
from ttft_bench.sweep.suite import Suite

if TYPE_CHECKING:
    import torch

    from ttft_bench.sweep.picks import Picks
    from ttft_bench.sweep.prepare import Prepared


@dataclass(frozen=True)
class Plan:
    """What a run comes to before any of it is done: every cell, and which of them are there already."""

    suite: Suite
    jobs: tuple[Job, ...]
    cells: tuple[Cell, ...]
    done: frozenset[str]
    n_prompts: int


def plan_run(request: Request, reporter: Reporter) -> Plan:
    """Say what a run would do, without embedding, selecting or finetuning anything.

    Raises:
        TtftBenchError: the run would end like this too.
    """
    from ttft_bench.corpus.embedders import open_embedder
    from ttft_bench.sweep.prepare import load_suite_corpus, train_hash

    request, target, stored, jobs = _open(request, reporter)
    suite = request.suite
    store.check_writable(request.folder)
    _, engine_part = _open_engine(request, target, reporter)
    if stored is not None:
        selection, prompts = stored.identity, stored.prompts
    else:
        corpus = load_suite_corpus(suite, request.limit, reporter.note)
        embedder = open_embedder(suite.pool.embedder, note=reporter.note).fingerprint
        selection = selection_identity(suite, train_hash(corpus), embedder)
        prompts = [document.key for document in corpus.prompts]
    store.check_identity(request.folder, selection)
    identity = cell_identity({**selection, **engine_part})
    jobs = [*jobs, *base_jobs(suite)]
    cells = _cells(suite, prompts, jobs, identity)
    return Plan(suite, tuple(jobs), tuple(cells), finished_cells(request.folder), len(prompts))


def _open(request: Request, reporter: Reporter) -> tuple[Request, torch.device, Stored | None, list[Job]]:
    """What a run looks at first: device, stored picks, strategies; the request comes back with all of it settled."""
    from ttft_bench.assets import cache_dir
    from ttft_bench.engine.model import resolve_device

    target = resolve_device(request.device)
    request = _settle_precision(request, target, reporter)
    if request.picks is None:
        cache_dir()  # refused before anything is read and embedded for it
        return request, target, None, make_jobs(request.suite)
    stored = from_picks(request)
    if stored.left_out:
        reporter.note(f"warning: {stored.left_out}")
    return replace(request, suite=stored.suite), target, stored, stored.jobs


def _open_engine(request: Request, target: torch.device, reporter: Reporter) -> tuple[str, dict[str, Any]]:
    """Where the model is, and the part of the run's identity that the engine answers for.

    Checked before anything is spent on a run that could not be finetuned, or not stand beside the rows already there.
    """
    from ttft_bench.assets import resolve_source
    from ttft_bench.engine.headers import check_trainable
    from ttft_bench.engine.model import load_tokenizer, max_positions, model_fingerprint
    from ttft_bench.engine.opening import resolve_backend
    from ttft_bench.sweep.provenance import device_label

    suite = request.suite
    source = resolve_source(suite.model.name, reporter.note)
    part = {
        **engine_identity(suite, model_fingerprint(source)),
        "device": device_label(target),
        "backend": resolve_backend(request.backend, target),
    }
    check_trainable(suite.finetune.settings().trainable, source)
    store.check_identity(request.folder, part)
    if told := added_beside(request.folder, suite):
        reporter.note(f"warning: {told}")
    load_tokenizer(source)
    most = max_positions(source)
    if suite.model.max_tokens > most:
        reporter.note(f"{suite.model.name} takes {most} tokens: texts are cut there, not at {suite.model.max_tokens}")
    return source, part


def _cells(suite: Suite, prompts: Sequence[str], jobs: Sequence[Job], identity: Mapping[str, Any]) -> list[Cell]:
    select = suite.select
    modes, lrs = tuple(dict.fromkeys(select.reuse_mode)), suite.finetune.lrs
    seeds = suite.finetune.n_seeds
    return make_cells(prompts, jobs, select.groupings, identity, modes=modes, lrs=lrs, seeds=seeds)


def run_selection(request: Request, reporter: Reporter) -> Outcome:
    """``ttft-bench select``: make and store picks, finetune nothing."""
    from ttft_bench.assets import cache_dir
    from ttft_bench.engine.host import fit_threads

    fit_threads()
    cache_dir()  # refused before anything is read and embedded for it
    jobs = make_jobs(request.suite)
    with store.writing(request.folder):
        picks, _ = _select(request, jobs, reporter)
        failed = sum(record["status"] != "ok" for record in picks.records.values())
        return Outcome(request.folder, len(picks.records) - failed, failed)


def run_sweep(request: Request, reporter: Reporter) -> Outcome:
    """``ttft-bench sweep``: select (or take stored picks), finetune, score, write rows.

    Raises:
        KeyboardInterrupt: passed on after everything finished so far is on disk.
        TtftBenchError: nothing sensible can be run; rows of an earlier run stay as they are.
    """
    from ttft_bench.engine.host import fit_threads
    from ttft_bench.sweep.provenance import device_label

    fit_threads()
    request, target, stored, jobs = _open(request, reporter)
    suite, device = request.suite, device_label(target)
    with store.writing(request.folder):
        source, engine_part = _open_engine(request, target, reporter)
        if stored is not None:
            selection, prompts, picks = stored.identity, stored.prompts, stored.picks
            store.check_identity(request.folder, selection)
        else:
            picks, selection = _select(request, jobs, reporter)
            prompts = wanted_prompts(picks, request)
        identity = {**selection, **engine_part}
        jobs = [*jobs, *base_jobs(suite)]
        cells = _cells(suite, prompts, jobs, cell_identity(identity))
        manifest = open_manifest(
            request.folder, suite, request.argv, identity, jobs, len(prompts), device, request.limit
        )
        with recorded(request.folder, manifest, "finetune"):
            finetune_cells(request, source, cells, picks, manifest, reporter)
        wanted = {cell.cell_id for cell in cells}
        rows = [row for row in store.load_run(request.folder).rows if row["cell_id"] in wanted]
        ok = sum(row["status"] == "ok" for row in rows)
        return Outcome(request.folder, ok, len(wanted) - ok)


def _settle_precision(request: Request, device: torch.device, reporter: Reporter) -> Request:
    """``auto`` becomes a precision before anything is planned: it is part of what a cell is."""
    from ttft_bench.engine.precision import resolve_precision

    wanted = request.suite.model.precision
    if wanted == "auto":  # a run goes on as it began, whatever a probe would find today
        wanted = (store.read_manifest(request.folder) or {}).get("identity", {}).get("precision", wanted)
    settled = resolve_precision(wanted, device)
    if settled == "tf32" and device.type != "cuda":
        reporter.note(f"tf32 is a precision of NVIDIA GPUs: on {device.type} steps are in fp32")
    return replace(request, suite=request.suite.with_changes("model", precision=settled))


def _select(request: Request, jobs: Sequence[Job], reporter: Reporter) -> tuple[Picks, dict[str, Any]]:
    from ttft_bench.sweep.picks import select_all
    from ttft_bench.sweep.prepare import prepare, train_hash

    suite = request.suite
    started = time.perf_counter()
    sources = tuple(dict.fromkeys(job.pool for job in jobs))
    prepared = prepare(suite, limit=request.limit, sources=sources, note=reporter.note, on_stage=reporter.progress)
    selection = selection_identity(suite, train_hash(prepared.corpus), prepared.pools[sources[0]].fingerprint)
    store.check_identity(request.folder, selection)
    n_prompts = len(prepared.corpus.prompts)
    manifest = open_manifest(request.folder, suite, request.argv, selection, jobs, n_prompts, None, request.limit)
    manifest["wall_s"]["prepare"] = manifest["wall_s"].get("prepare", 0.0) + time.perf_counter() - started
    with recorded(request.folder, manifest, "select"):
        picks = select_all(
            prepared,
            jobs,
            request.folder,
            seed=suite.seed,
            timeout_s=suite.select.timeout_s,
            note=reporter.note,
            on_pick=lambda done, total, label: reporter.progress("selecting", done, total),
        )
    _note_failures(picks, jobs, prepared, reporter)
    return picks, selection


def _note_failures(picks: Picks, jobs: Sequence[Job], prepared: Prepared, reporter: Reporter) -> None:
    prompts = {document.key for document in prepared.corpus.prompts}
    for job in jobs:
        bad = [
            record
            for (prompt, label, budget), record in picks.records.items()
            if label == job.label and prompt in prompts and budget in job.budgets and record["status"] != "ok"
        ]
        if bad:
            reporter.note(
                f"warning: {job.label}: {len(bad)} selection(s) failed, first: {bad[0]['reason']}; "
                f"see `{shlex.join(['ttft-bench', 'check', job.spec])}`, or tell the author of {job.distribution}"
            )


__all__ = ["Outcome", "Plan", "Reporter", "Request", "plan_run", "run_selection", "run_sweep"]
