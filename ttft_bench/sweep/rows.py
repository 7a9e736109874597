"""Result rows of cells: what the picks, the prompt and the plan say, and how a failure is put into words."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ttft_bench.engine.guards import is_out_of_memory
from ttft_bench.errors import CellError, DataError
from ttft_bench.sweep.picks import Picks
from ttft_bench.sweep.plan import Cell
from ttft_bench.sweep.schema import make_row

#: Columns that a pick record brings along under the same name.
_CHOSEN = ("select_s", "residual", "objective", "gap", "similarity_mean", "similarity_max", "document_ids")


def cell_row(cell: Cell, picks: Picks, constants: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    """The row of ``cell``.

    Args:
        cell: says what the row is of.
        picks: what was selected.
        constants: columns that are the same in every row of the run.
        values: measured columns, or status and reason.
    """
    prompt = picks.prompts.get(cell.prompt_id, {})
    pool = prompt.get("pools", {}).get(cell.job.pool, {})
    record = picks.records.get((cell.prompt_id, cell.job.label, cell.budget), {})
    untrained = {} if cell.trains else {"optimizer": "", "trainable": ""}
    return make_row(
        **{
            **constants,
            **untrained,
            "cell_id": cell.cell_id,
            "subset": prompt.get("subset", ""),
            "prompt_id": cell.prompt_id,
            "group": prompt.get("group", ""),
            "stratum": prompt.get("stratum", ""),
            "containment": prompt.get("containment"),
            "common_chars": prompt.get("common_chars"),
            "strategy": cell.job.label,
            "distribution": cell.job.distribution,
            "arm": cell.arm,
            "lr": cell.lr,
            "budget": cell.budget,
            **reuse_columns(cell),
            "pool_source": cell.job.pool,
            "pool_k": pool.get("k"),
            "pool_hash": pool.get("hash", ""),
            "embed_s": pool.get("embed_s"),
            "retrieve_s": pool.get("retrieve_s"),
            "n_distinct": int(record["n_distinct"]) if "n_distinct" in record else None,
            "solver_status": record.get("solver_status", ""),
            **{key: record.get(key) for key in _CHOSEN},
            **values,
        }
    )


def reuse_columns(cell: Cell) -> dict[str, Any]:
    """How the cell reuses gradients, as its row says it."""
    return {
        "reuse_interval": cell.reuse.interval,
        "reuse_grouping": cell.reuse.grouping,
        "reuse_mode": cell.reuse.mode,
    }


def nearest_documents(record: Mapping[str, Any]) -> list[int]:
    """The distinct picks of a record, nearest to the prompt first.

    Pools are stored nearest first; records of early versions lack positions, and are taken in training order.
    """
    ids = record["document_ids"]
    positions = record.get("positions") or range(len(ids))
    return list(dict.fromkeys(document for _, document in sorted(zip(positions, ids, strict=True))))


def classify(error: BaseException) -> tuple[str, str]:
    """Row status and reason of an exception; out of memory is told by type, or by the allocator's words.

    The reason of an error that nobody raised on purpose ends with its place: a row is all that is kept of it.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if is_out_of_memory(error):
        return "oom", f"out of memory: {text[:300]}"
    if isinstance(error, CellError | DataError):
        return "failed", text[:500]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return "failed", f"{type(error).__name__}: {text[:500]}{place}"


__all__ = ["cell_row", "classify", "nearest_documents", "reuse_columns"]
