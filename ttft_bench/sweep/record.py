"""What a run is: its identity, which must not change while it lasts, and its manifest, which records it."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ttft_bench.corpus.approximate import parse_index
from ttft_bench.corpus.leaks import PARAMETERS
from ttft_bench.corpus.sources import EMBEDDING
from ttft_bench.prefix import FIRST_HALF
from ttft_bench.sweep import store
from ttft_bench.sweep.plan import Job
from ttft_bench.sweep.suite import Suite

#: The part of an identity that belongs to the picks, and goes with them to another folder.
SELECTION_KEYS = (
    "suite",
    "corpus",
    "train_documents",
    "embedder",
    "embedder_fingerprint",
    "pool_k",
    "pool_source",
    "excluded",
    "index",
    "query",
    "seed",
)


def selection_identity(suite: Suite, train: str, embedder: str) -> dict[str, Any]:
    """What picks depend on, apart from strategy, prompt and budget."""
    return {
        "suite": suite.name,
        "corpus": suite.corpus.source,
        "train_documents": train,
        "embedder": suite.pool.embedder,
        "embedder_fingerprint": embedder,
        "pool_k": suite.pool.k,
        "pool_source": suite.pool.source if suite.pool.source != EMBEDDING else "",
        "excluded": PARAMETERS if suite.pool.exclude_near_duplicates else "",
        "index": index if (index := parse_index(suite.pool.index)[0]) != "flat" else "",
        "query": FIRST_HALF if suite.score.protocol == "prefix" else "",
        "seed": suite.seed,
    }


def engine_identity(suite: Suite, model_fingerprint: str) -> dict[str, Any]:
    """What a finetuned score depends on, apart from the picks and the schedule."""
    settings = suite.finetune.settings()
    # What is as it always was goes without saying, so that runs and cell ids stay those of earlier versions.
    unusual = {
        key: value
        for key, value, usual in (
            ("trainable", settings.trainable, "full"),
            ("long", suite.finetune.long, "truncate"),
            # Early runs in bf16 were scored in bf16 too.
            ("scored_in", "fp32" if suite.model.precision == "bf16" else "", ""),
            # Earlier ones rounded the copies of weights that compiled steps use to the nearest. Eager ones, which have
            # none, carry the mark all the same: a row's backend says which steps it took.
            ("shadow_rounding", "at random" if suite.model.precision == "bf16" else "", ""),
        )
        if value != usual
    }
    return {
        **unusual,
        "model": suite.model.name,
        "model_fingerprint": model_fingerprint,
        "max_tokens": suite.model.max_tokens,
        "start_token": suite.model.start_token,
        "precision": suite.model.precision,
        "optimizer": settings.describe(),
        "bpb_protocol": suite.score.protocol,
    }


def cell_identity(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a run's identity that can change a row's bits per byte: not where it was computed.

    What is not in use (an empty value) goes without saying, so that ids stay those of earlier versions.
    """
    return {key: value for key, value in identity.items() if key not in ("device", "backend") and value != ""}


def open_manifest(
    folder: Path,
    suite: Suite,
    argv: Sequence[str],
    identity: Mapping[str, Any],
    jobs: Sequence[Job],
    n_prompts: int,
    device: str | None,
    limit: int | None = None,
) -> dict[str, Any]:
    """Create the manifest, or bring the one that is there up to date with this invocation."""
    from ttft_bench.sweep.provenance import collect

    before = store.read_manifest(folder) or {}
    bounds = [n for n in (limit, suite.corpus.prompts_per_subset) if n is not None]
    manifest = {
        "run_id": before.get("run_id") or uuid.uuid4().hex[:12],
        "created": before.get("created") or store.now(),
        "state": "running",
        "suite": dataclasses.asdict(suite),
        "plan": {
            "strategies": [job.label for job in jobs if not job.control],
            "controls": [job.label for job in jobs if job.control],
            "budgets": sorted({budget for job in jobs if job.spec for budget in job.budgets}),
            "reuse": list(suite.select.reuse),
            "prompts": n_prompts,
            "prompts_per_subset": _most(before.get("plan"), min(bounds, default=None)),
            "model": suite.model.name,
            "embedder": suite.pool.embedder,
            "pool_k": suite.pool.k,
            "pool_source": suite.pool.source,
            "index": suite.pool.index,
            "exclude_near_duplicates": suite.pool.exclude_near_duplicates,
            "max_tokens": suite.model.max_tokens,
            "bpb_protocol": suite.score.protocol,
            "lr": suite.finetune.lr,
            "arms": list(suite.select.arms),
            "reuse_modes": list(suite.select.reuse_mode),
            "trainable": suite.finetune.settings().trainable,
            "seed": suite.seed,
            "precision": suite.model.precision,
            "device": device,
        },
        "identity": {**before.get("identity", {}), **identity},
        "provenance": {**collect(list(argv)), "started": store.now()},
        "execution": before.get("execution", {}),
        "wall_s": dict(before.get("wall_s", {})),
    }
    store.write_manifest(folder, manifest)
    return manifest


def _most(plan: Mapping[str, Any] | None, asked: int | None) -> int | None:
    """The most prompts of a subset that any invocation asked for; None for all of them, or if one is not known."""
    if plan is None:
        return asked
    before = plan.get("prompts_per_subset")
    return None if before is None or asked is None else max(before, asked)


@contextmanager
def recorded(folder: Path, manifest: dict[str, Any], stage: str) -> Iterator[None]:
    """Add the stage's wall time to the manifest and say how it ended, whatever happens inside."""
    started = time.perf_counter()
    manifest["state"] = "interrupted"
    try:
        yield
        manifest["state"] = "finished"
    finally:
        manifest["wall_s"][stage] = manifest["wall_s"].get(stage, 0.0) + time.perf_counter() - started
        manifest["provenance"]["finished"] = store.now()
        store.write_manifest(folder, manifest)


__all__ = ["SELECTION_KEYS", "cell_identity", "engine_identity", "open_manifest", "recorded", "selection_identity"]
