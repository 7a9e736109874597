"""The one documented schema of a result row: every key with its type, unit and meaning.

The version goes up with a release that adds, renames or redefines columns; a column says since which version it is
there. :func:`read_row` brings rows of every earlier version up to this one. ``reports/SCHEMA.md`` is made from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ttft_bench.errors import CorpusError

SCHEMA_VERSION = 2
#: Part of every cell's id. Unlike the schema's version it goes up only when rows of equal settings stop being
#: comparable: a new column is no reason to run a cell again.
CELL_ID_VERSION = 1

STATUSES = ("ok", "skipped", "failed", "oom", "timeout", "interrupted")


@dataclass(frozen=True)
class Field:
    """One column.

    Attributes:
        name: key of the row.
        kind: str, int, float, or list (of int).
        unit: empty where there is none.
        meaning: in words; alternatives are separated by bars.
        since: first version of the schema that has it.
    """

    name: str
    kind: str
    unit: str
    meaning: str
    since: int = 1


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
        since=2,
    ),
    Field("common_chars", "int", "characters", "longest substring that the prompt and that document share", since=2),
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
    Field("long", "str", "", "documents beyond max_tokens: truncate | chunk (one step per chunk)", 2),
    Field(
        "budget",
        "int",
        "picks",
        "picks asked for, N: as many training steps, but for chunks, batches, reuse modes",
    ),
    Field("reuse_interval", "int", "steps", "this many steps of a run share one gradient; 1 = off"),
    Field("reuse_grouping", "str", "", "runs | global"),
    Field("reuse_mode", "str", "", "steps that share a gradient: cached | skip | scale-lr | weighted-loss"),
    Field("seed", "int", "", "seed of the run, or of dropout where there are several: the run's and the ones after it"),
    Field("model", "str", "", "language model"),
    Field("embedder", "str", "", "embedding model; shuffled[NAME] is a control with embeddings dealt out at random"),
    Field("precision", "str", "", "of the training steps: fp32 | tf32 | bf16 (scored in fp32)"),
    Field("backend", "str", "", "how steps were executed: eager | compiled"),
    Field("lanes", "int", "", "prompts that were worked on at once on the device; times are of latency only at 1", 2),
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
    Field(
        "excluded", "str", "", "kept out of pools beyond copies of the prompt: near-duplicates[...], or empty", since=2
    ),
    Field("bpb_before", "float", "bits/byte", "bits per byte of the prompt under the untouched model"),
    Field("bpb_after", "float", "bits/byte", "bits per byte of the prompt after finetuning"),
    Field("bpb_pct", "float", "%", "100 * bpb_after / bpb_before; lower is better"),
    Field("bytes_scored", "int", "bytes", "UTF-8 bytes of exactly the scored tokens"),
    Field("tokens_scored", "int", "tokens", "number of scored tokens"),
    Field("embed_s", "float", "s", "embedding the prompt"),
    Field("retrieve_s", "float", "s", "finding the K candidates"),
    Field("select_s", "float", "s", "the strategy's select() call for this budget"),
    Field("finetune_s", "float", "s", "training steps up to this budget, tokenisation excluded"),
    Field("context_s", "float", "s", "reading the picks as context, once for all windows; empty without context", 2),
    Field("restore_s", "float", "s", "restoring the weights"),
    Field("score_s", "float", "s", "scoring the prompt after finetuning"),
    Field("steps", "int", "steps", "optimizer steps taken"),
    Field("fresh_steps", "int", "steps", "steps that computed a gradient (the others reused one)"),
    Field("n_in_context", "int", "", "distinct picks that fitted into the context; empty without context", 2),
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

_EMPTY: dict[str, Any] = {field.name: "" if field.kind == "str" else None for field in FIELDS}

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
    return {**_EMPTY, **values, "schema_version": SCHEMA_VERSION}


def read_row(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A stored record of any version as a row of this one: every column, in schema order.

    Args:
        record: what was stored; columns that this version does not know are left out.
        where: the file, for the error.

    Raises:
        CorpusError: it is of a newer version, or says none that can be.
    """
    version = record.get("schema_version", 1)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise CorpusError(f"{where} has a row of schema version {version!r}, which never was: restore the file")
    if version > SCHEMA_VERSION:
        newer = f"newer than this version reads ({SCHEMA_VERSION})"
        raise CorpusError(f"{where} has rows of schema {version}, {newer}: upgrade ttft-bench")
    row = dict(record)
    for step in range(version, SCHEMA_VERSION):
        row = _UPGRADES[step](row)
    return {name: row.get(name, empty) for name, empty in _EMPTY.items()} | {"schema_version": SCHEMA_VERSION}


def _from_1(row: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew one arm, no chunks and no lanes; what it did not say was so."""
    return {"arm": "finetune", "trainable": "full", "long": "truncate", "lanes": 1, "reuse_mode": "cached", **row}


#: Version -> what makes a row of the next one from it.
_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}


def schema_markdown() -> str:
    """The schema as a page."""
    lines = [
        "# Columns of a result row",
        "",
        f"Schema version {SCHEMA_VERSION}. Made by `ttft-bench schema --markdown`. The same rows stand in "
        "`results.jsonl`, `results.csv` and `results.parquet`, whose columns carry units and meanings as metadata. "
        "Text that is not known is empty, numbers are null. Rows of earlier versions are read; columns say since when "
        "they are there.",
        "",
        "| column | type | unit | since | meaning |",
        "|---|---|---|---:|---|",
    ]
    bar = "\\|"
    for field in FIELDS:
        meaning = field.meaning.replace("|", bar)
        lines.append(f"| `{field.name}` | {field.kind} | {field.unit} | {field.since} | {meaning} |")
    return "\n".join(lines) + "\n"


__all__ = [
    "CELL_ID_VERSION",
    "COLUMNS",
    "COST_COLUMNS",
    "EXTRA_COST_COLUMNS",
    "FIELDS",
    "SCHEMA_VERSION",
    "STATUSES",
    "Field",
    "make_row",
    "read_row",
    "schema_markdown",
]
