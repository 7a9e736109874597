"""The one documented schema of a result row: every key with its type, unit and meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 1

STATUSES = ("ok", "skipped", "failed", "oom", "timeout", "interrupted")


@dataclass(frozen=True)
class Field:
    """One column: ``kind`` is str, int, float or list; ``unit`` is empty where there is none."""

    name: str
    kind: str
    unit: str
    meaning: str


FIELDS: tuple[Field, ...] = (
    Field("schema_version", "int", "", "version of this schema"),
    Field("run_id", "str", "", "identifies the run that wrote the row"),
    Field("cell_id", "str", "", "hash of everything that can change the row's bits per byte"),
    Field("status", "str", "", "ok | skipped | failed | oom | timeout | interrupted"),
    Field("reason", "str", "", "why the status is not ok, or a note such as a capped budget; else empty"),
    Field("suite", "str", "", "suite name"),
    Field("subset", "str", "", "domain of the prompt"),
    Field("prompt_id", "str", "", "content hash of the prompt"),
    Field("group", "str", "", "group (article, licence family, module) that the prompt's split respects"),
    Field(
        "stratum",
        "str",
        "",
        "the prompt in the training text of its corpus: exact | near | clean; empty if not computed",
    ),
    Field(
        "containment",
        "float",
        "",
        "share of the prompt's shingles in the closest training document; empty if none is close",
    ),
    Field("common_chars", "int", "characters", "longest substring that the prompt and that document share"),
    Field("strategy", "str", "", "spec of the strategy, or the label of a control"),
    Field("distribution", "str", "", "distribution and version that provide the strategy"),
    Field(
        "arm",
        "str",
        "",
        "use of the picks: finetune | none (untouched model) | in-context | in-context+finetune",
    ),
    Field(
        "trainable",
        "str",
        "",
        "weights trained: full | lora[...] | last[...] | bias+norm; empty where none are",
    ),
    Field("optimizer", "str", "", "optimizer with its settings; clip, batch and dropout are named where they are on"),
    Field("lr", "float", "", "learning rate; empty where nothing is trained"),
    Field("long", "str", "", "documents beyond max_tokens: truncate | chunk (one step per chunk)"),
    Field(
        "budget",
        "int",
        "steps",
        "picks asked for, N: as many training steps, but for chunks, batches, reuse modes",
    ),
    Field("reuse_interval", "int", "steps", "this many steps of a run share one gradient; 1 = off"),
    Field("reuse_grouping", "str", "", "runs | global"),
    Field("reuse_mode", "str", "", "steps that share a gradient: cached | skip | scale-lr | weighted-loss"),
    Field("seed", "int", "", "seed of the run"),
    Field("model", "str", "", "language model"),
    Field("embedder", "str", "", "embedding model"),
    Field("precision", "str", "", "fp32 | tf32 | bf16"),
    Field("backend", "str", "", "how steps were executed: eager | compiled"),
    Field("lanes", "int", "", "prompts that were worked on at once on the device; times are of latency only at 1"),
    Field("device", "str", "", "device the row was finetuned on"),
    Field("max_tokens", "int", "tokens", "token limit of a training sequence and of the scored window"),
    Field("bpb_protocol", "str", "", "window | document | prefix (first half found and read, second half scored)"),
    Field("start_token", "str", "", "token that every sequence starts with; empty for none"),
    Field(
        "pool_source",
        "str",
        "",
        "where the candidates come from: embedding | random | bm25 (nearest in early runs: embedding)",
    ),
    Field("pool_k", "int", "", "number of candidates K"),
    Field("pool_hash", "str", "", "hash of the candidate pool"),
    Field("excluded", "str", "", "kept out of pools beyond copies of the prompt: near-duplicates[...], or empty"),
    Field("bpb_before", "float", "bits/byte", "bits per byte of the prompt under the untouched model"),
    Field("bpb_after", "float", "bits/byte", "bits per byte of the prompt after finetuning"),
    Field("bpb_pct", "float", "%", "100 * bpb_after / bpb_before; lower is better"),
    Field("bytes_scored", "int", "bytes", "UTF-8 bytes of exactly the scored tokens"),
    Field("tokens_scored", "int", "tokens", "number of scored tokens"),
    Field("embed_s", "float", "s", "embedding the prompt"),
    Field("retrieve_s", "float", "s", "finding the K candidates"),
    Field("select_s", "float", "s", "the strategy's select() call for this budget"),
    Field("finetune_s", "float", "s", "training steps up to this budget, tokenisation excluded"),
    Field("context_s", "float", "s", "reading the picks as context, once for all windows; empty without context"),
    Field("restore_s", "float", "s", "restoring the weights"),
    Field("score_s", "float", "s", "scoring the prompt after finetuning"),
    Field("steps", "int", "steps", "optimizer steps taken"),
    Field("fresh_steps", "int", "steps", "steps that computed a gradient (the others reused one)"),
    Field("n_in_context", "int", "", "distinct picks that fitted into the context; empty without context"),
    Field("n_distinct", "int", "", "distinct items among the picks"),
    Field("residual", "float", "", "||mean of query rows - mean of picks||^2"),
    Field("objective", "float", "", "f at the strategy's weights before rounding; empty without one"),
    Field("gap", "float", "", "Frank-Wolfe gap at those weights: 0 <= f(w) - f* <= gap; empty without one"),
    Field("solver_status", "str", "", "why the strategy's solver stopped"),
    Field("similarity_mean", "float", "", "mean cosine of picks and prompt"),
    Field("similarity_max", "float", "", "largest cosine of picks and prompt"),
    Field("peak_mib", "float", "MiB", "peak device memory of the task; empty on CPU"),
    Field("document_ids", "list", "", "document ids of the picks in training order"),
)

COLUMNS: tuple[str, ...] = tuple(field.name for field in FIELDS)

#: Stages whose seconds add up to what a user waits for at this budget (scoring is the benchmark's own).
COST_COLUMNS: tuple[str, ...] = ("select_s", "finetune_s")
#: Stages that some rows have and others do not; where there are seconds, they are waited for too.
EXTRA_COST_COLUMNS: tuple[str, ...] = ("context_s",)


def make_row(**values: Any) -> dict[str, Any]:
    """Build a complete row in schema order; keys left out become None (empty strings for text).

    Raises:
        KeyError: a key is not in the schema.
    """
    unknown = set(values) - set(COLUMNS)
    if unknown:
        raise KeyError(f"not in the result schema: {', '.join(sorted(unknown))}")
    row: dict[str, Any] = {}
    for column in FIELDS:
        empty = "" if column.kind == "str" else None
        row[column.name] = values.get(column.name, empty)
    row["schema_version"] = SCHEMA_VERSION
    return row


__all__ = ["COLUMNS", "COST_COLUMNS", "EXTRA_COST_COLUMNS", "FIELDS", "SCHEMA_VERSION", "STATUSES", "Field", "make_row"]
