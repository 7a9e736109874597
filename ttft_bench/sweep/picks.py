"""The selection stage: every strategy's picks for every prompt and budget, stored before any finetuning.

``picks.jsonl`` holds one record per (prompt, strategy, budget); ``documents.jsonl`` the texts of the prompts
and of every picked document, so that the folder alone is enough to finetune from on another machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ttft_bench.corpus.sources import hashed_name, present_name
from ttft_bench.errors import CorpusError
from ttft_bench.picking import make_call
from ttft_bench.selector import Problem
from ttft_bench.sweep import store
from ttft_bench.sweep.plan import Job
from ttft_bench.sweep.prepare import Note, Prepared
from ttft_bench.sweep.worker import Answer, Worker

#: Called with (done, total, label) after every selection.
OnPick = Callable[[int, int, str], None]


@dataclass
class Picks:
    """Stored picks, read back.

    Attributes:
        records: (prompt id, label, budget) -> pick record.
        prompts: prompt id -> prompt record, in order.
        texts: document id -> text of every picked document.
        warnings: what was dropped while reading.
    """

    records: dict[tuple[str, str, int], dict[str, Any]] = field(default_factory=dict)
    prompts: dict[str, dict[str, Any]] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def sequences(self) -> dict[tuple[str, str, int], list[int]]:
        """Document ids in training order of every selection that succeeded."""
        return {key: record["document_ids"] for key, record in self.records.items() if record["status"] == "ok"}


def select_all(
    prepared: Prepared,
    jobs: Sequence[Job],
    folder: Path,
    *,
    seed: int,
    timeout_s: float,
    note: Note,
    on_pick: OnPick,
) -> Picks:
    """Make every pick that ``folder`` does not hold yet; a strategy that misbehaves costs its own rows only.

    Args:
        prepared: corpus and pools.
        jobs: strategies, with the budgets and the pool source of each.
        folder: run folder, held by :func:`ttft_bench.sweep.store.writing`.
        seed: of stochastic strategies.
        timeout_s: limit of one ``select`` call.
        note: receives warnings.
        on_pick: progress.
    """
    picks = read_picks(folder)
    for warning in picks.warnings:
        note(f"warning: {warning}")
    with store.Journal(folder / store.PICKS) as journal, store.Journal(folder / store.DOCUMENTS) as documents:
        _store_prompts(prepared, picks, documents)
        wanted = [(job, prompt, budget) for job in jobs for prompt in picks_prompts(prepared) for budget in job.budgets]
        done = 0
        for job in jobs:
            with Worker(job.spec, timeout_s) as worker:
                for prompt_id in picks_prompts(prepared):
                    for budget in job.budgets:
                        record = _pick(prepared, job, prompt_id, budget, seed, worker, picks)
                        if record is not None:
                            _store_texts(prepared, record, picks, documents)
                            journal.append(record)
                            picks.records[prompt_id, job.label, budget] = record
                        done += 1
                        on_pick(done, len(wanted), job.label)
            _check_nested(job, picks, journal)
    return picks


def picks_prompts(prepared: Prepared) -> list[str]:
    """Ids of the prompts, in corpus order."""
    return [document.key for document in prepared.corpus.prompts]


def read_picks(folder: Path) -> Picks:
    """Read the selection stage's journals; a missing folder or file reads as empty."""
    picks = Picks()
    records, warnings = store.read_journal(folder / store.PICKS)
    for record in records:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            record["pool"] = present_name(record["pool"])
            picks.records[str(record["prompt_id"]), str(record["strategy"]), int(record["budget"])] = record
    documents, more = store.read_journal(folder / store.DOCUMENTS)
    for record in documents:
        if record.get("kind") == "prompt":
            record["pools"] = {present_name(source): pool for source, pool in record.get("pools", {}).items()}
            picks.prompts[str(record["prompt_id"])] = record
        elif record.get("kind") == "document":
            picks.texts[int(record["id"])] = str(record["text"])
    picks.warnings = [*warnings, *more]
    return picks


def load_picks(folder: Path) -> Picks:
    """Read picks to finetune from.

    Raises:
        CorpusError: the folder holds no picks, or lacks a text that one of them names.
    """
    picks = read_picks(folder)
    if not picks.records or not picks.prompts:
        raise CorpusError(f"{folder} holds no picks: make them with `ttft-bench select --output {folder}`")
    missing = {i for ids in picks.sequences().values() for i in ids} - set(picks.texts)
    if missing:
        raise CorpusError(
            f"{folder / store.DOCUMENTS} lacks the text of {len(missing)} picked document(s): copy the whole folder, "
            "or make the picks again with `ttft-bench select`"
        )
    return picks


def _pick(
    prepared: Prepared, job: Job, prompt_id: str, budget: int, seed: int, worker: Worker, picks: Picks
) -> dict[str, Any] | None:
    pool = prepared.pools[job.pool].pools[prompt_id]
    key = _pick_key(job, pool.hash, budget, seed)
    before = picks.records.get((prompt_id, job.label, budget))
    if before is not None and before.get("status") == "ok" and before.get("key") == key:
        return None
    problem = prepared.problem(job.pool, prompt_id, budget)
    answer = worker.ask(make_call(problem, job.spec, prompt_id, seed))
    return _record(answer, problem, job, prompt_id, budget, key)


def _record(answer: Answer, problem: Problem, job: Job, prompt_id: str, budget: int, key: str) -> dict[str, Any]:
    values = dict(answer.values)
    positions = values.pop("positions", [])
    return {
        "key": key,
        "prompt_id": prompt_id,
        "strategy": job.label,
        "spec": job.spec,
        "distribution": job.distribution,
        "pool": job.pool,
        "control": job.control,
        "budget": budget,
        "status": answer.status,
        "reason": answer.reason,
        "document_ids": [int(problem.ids[position]) for position in positions],
        "positions": [int(position) for position in positions],
        **values,
    }


def _pick_key(job: Job, pool_hash: str, budget: int, seed: int) -> str:
    facts = [job.spec, job.distribution, hashed_name(job.pool), pool_hash, budget, seed]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _store_prompts(prepared: Prepared, picks: Picks, documents: store.Journal) -> None:
    for document in prepared.corpus.prompts:
        pools = {
            source: {
                "hash": pool.hash,
                "embed_s": pool.embed_s,
                "retrieve_s": pool.retrieve_s,
                "k": len(pool.ids),
            }
            for source, pools in prepared.pools.items()
            for pool in (pools.pools[document.key],)
        }
        record = {
            "kind": "prompt",
            "prompt_id": document.key,
            "subset": document.subset,
            "group": document.group,
            **(prepared.leaks.describe(document.key) if prepared.leaks is not None else {}),
            "text": document.text,
            "pools": {**picks.prompts.get(document.key, {}).get("pools", {}), **pools},
        }
        if picks.prompts.get(document.key) != record:
            documents.append(record)
            picks.prompts[document.key] = record


def _store_texts(prepared: Prepared, record: Mapping[str, Any], picks: Picks, documents: store.Journal) -> None:
    for document_id in dict.fromkeys(record["document_ids"]):
        if document_id not in picks.texts:
            text = prepared.corpus.train[document_id].text
            documents.append({"kind": "document", "id": document_id, "text": text})
            picks.texts[document_id] = text


def _check_nested(job: Job, picks: Picks, journal: store.Journal) -> None:
    """Hold a strategy that calls itself nested to its word; a broken one loses its smaller budgets."""
    for (prompt_id, label, budget), record in list(picks.records.items()):
        if label != job.label or not record.get("nested") or record["status"] != "ok":
            continue
        largest = picks.records.get((prompt_id, label, job.budgets[-1]))
        if largest is None or largest["status"] != "ok":
            continue
        if largest["document_ids"][: len(record["document_ids"])] != record["document_ids"]:
            reason = f"declared nested, but its {budget} picks do not begin its {job.budgets[-1]} picks"
            broken = {**record, "status": "failed", "reason": reason}
            journal.append(broken)
            picks.records[prompt_id, label, budget] = broken


__all__ = ["OnPick", "Picks", "load_picks", "picks_prompts", "read_picks", "select_all"]
