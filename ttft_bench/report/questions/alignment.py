"""Side file of gradient alignments, a mechanism behind residual and gain.

``alignment.jsonl`` lies in a run folder beside ``results.jsonl``, one line per cell::

    {"cell_id": "2927cf590a9583ebade5", "alignment": 0.31}

``alignment`` is the cosine of the prompt's gradient and the sum of its picks' gradients at the untouched weights,
between -1 and 1, or null where it could not be computed. Other keys (which weights, a sketch's size) are kept for
people. A cell that has several lines counts with its last; a torn line is dropped with a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ttft_bench.errors import CorpusError
from ttft_bench.report.stats import Row, number
from ttft_bench.sweep.store import ALIGNMENT, read_journal


def read_alignment(run: Path) -> tuple[dict[str, float], list[str]]:
    """Alignment by cell id, and warnings; empty without a side file.

    Raises:
        CorpusError: a line lacks its cell id, or its alignment is no cosine.
    """
    records, warnings = read_journal(run / ALIGNMENT)
    found: dict[str, float] = {}
    for place, record in enumerate(records, start=1):
        cell, value = record.get("cell_id"), number(record, "alignment")
        if not isinstance(cell, str) or (record.get("alignment") is not None and value is None):
            raise CorpusError(
                f"{run / ALIGNMENT}: record {place} needs a cell_id and a finite alignment or null: compute it again"
            )
        if value is not None and abs(value) > 1 + 1e-6:
            raise CorpusError(f"{run / ALIGNMENT}: record {place} has alignment {value}, which is no cosine")
        found.pop(cell, None)
        if value is not None:
            found[cell] = value
    return found, warnings


def with_alignment(rows: Sequence[Row], alignment: Mapping[str, float]) -> list[Row]:
    """The rows with a key ``alignment`` where the side file has one."""
    return [{**row, "alignment": alignment.get(str(row.get("cell_id")))} for row in rows]


__all__ = ["read_alignment", "with_alignment"]
