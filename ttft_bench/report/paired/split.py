"""Parts of a run that belong apart: scopes, whose rows no table may mix, strata and subsets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from ttft_bench.report.stats import Row

By = Literal["all", "stratum", "subset"]
BY: tuple[By, ...] = get_args(By)

#: Near-duplicate strata, worst leak first.
STRATA = ("exact", "near", "clean")
NOT_COMPUTED = "not computed"

#: What must be equal on both sides of a comparison of strategies.
SCOPE_COLUMNS = (
    "model",
    "embedder",
    "precision",
    "max_tokens",
    "bpb_protocol",
    "start_token",
    "pool_source",
    "pool_k",
    "excluded",
    "optimizer",
    "long",
    "device",
    "backend",
    "lanes",
)
#: Those of them that change times, and bits per byte by no more than rounding.
TIME_SCOPE = ("device", "backend", "lanes")
QUALITY_SCOPE = tuple(column for column in SCOPE_COLUMNS if column not in TIME_SCOPE)

#: Words of early rows for what has another name now.
_SAME = {("pool_source", "nearest"): "embedding"}
#: Pools of random documents: what is only ever run on them is a control, and stands beside every scope.
_RANDOM_POOL = "random"

#: The control of the embedding: a run whose documents have each other's embeddings names its embedder like this.
SHUFFLED_PREFIX = "shuffled["


def split_rows(rows: Sequence[Row], by: By = "all") -> dict[str, list[Row]]:
    """Rows by stratum (exact, near, clean, not computed), by subset, or all together under ``all``."""
    if by == "all":
        return {"all": list(rows)}
    empty = NOT_COMPUTED if by == "stratum" else "unnamed"
    parts: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        parts[str(row.get(by) or empty)].append(row)
    known = {name: place for place, name in enumerate(STRATA)} if by == "stratum" else {}
    return {name: parts[name] for name in sorted(parts, key=lambda name: (known.get(name, len(known)), name))}


def split_scopes(rows: Sequence[Row], columns: Sequence[str] = SCOPE_COLUMNS) -> dict[str, list[Row]]:
    """Rows that may be compared with each other, the largest scope first; ``{"": rows}`` if there is only one.

    A scope is named by the columns in which scopes differ, ``model=a, device=cpu``. A row that leaves such a column
    empty (an untouched model has no optimizer) belongs to every scope that agrees in the others, and so does a control
    on random pools: a strategy that the rows have on no other pool.
    """
    varying = list(varying_columns(rows, columns))
    if not varying:
        return {"": list(rows)}
    mark = _marker(rows)
    marks = [tuple(mark(row, column) for column in varying) for row in rows]
    # Rows with gaps join whole scopes; where none agrees with them, they are a scope of their own.
    whole = {own for own in marks if all(own)}
    whole |= {own for own in marks if not any(_agrees(own, scope) for scope in whole)}
    scopes: dict[tuple[str, ...], list[Row]] = {own: [] for own in whole}
    for row, own in zip(rows, marks, strict=True):
        for scope in scopes:
            if _agrees(own, scope):
                scopes[scope].append(row)
    ordered = sorted(scopes, key=lambda scope: (-len(scopes[scope]), scope))
    return {
        ", ".join(f"{column}={part}" for column, part in zip(varying, scope, strict=True)): scopes[scope]
        for scope in ordered
    }


def varying_columns(rows: Sequence[Row], columns: Sequence[str] = SCOPE_COLUMNS) -> dict[str, tuple[str, ...]]:
    """The columns in which rows fall apart into scopes, each with its values."""
    mark = _marker(rows)
    values = {column: {found for row in rows if (found := mark(row, column))} for column in columns}
    return {column: tuple(sorted(found)) for column, found in values.items() if len(found) > 1}


def _marker(rows: Sequence[Row]) -> Callable[[Row, str], str]:
    """What a row says of a column; empty if it agrees with any value, see :func:`split_scopes`."""
    chosen = {str(row.get("strategy")) for row in rows if _text(row, "pool_source") != _RANDOM_POOL}

    def mark(row: Row, column: str) -> str:
        beside = column == "pool_source" and str(row.get("strategy")) not in chosen and chosen
        return "" if beside else _text(row, column)

    return mark


def _agrees(own: Sequence[str], scope: Sequence[str]) -> bool:
    return all(part in ("", wanted) for part, wanted in zip(own, scope, strict=True))


def timed_alike(rows: Sequence[Row]) -> list[Row]:
    """The rows of the device, backend and number of lanes that has most of them: only their times compare."""
    return next(iter(split_scopes(rows, TIME_SCOPE).values()), [])


def split_shuffled(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Rows with true embeddings, and those of the control with shuffled ones."""
    shuffled = [row for row in rows if _text(row, "embedder").startswith(SHUFFLED_PREFIX)]
    return [row for row in rows if not _text(row, "embedder").startswith(SHUFFLED_PREFIX)], shuffled


def shuffled_beside(rows: Sequence[Row], shuffled: Sequence[Row], columns: Sequence[str] = SCOPE_COLUMNS) -> list[Row]:
    """The rows with shuffled embeddings that differ from the rows of one scope in nothing else.

    Their embedder is the one inside the brackets; as in :func:`split_scopes`, an empty column agrees with everything.
    """
    known = {column: {text for row in rows if (text := _text(row, column))} for column in columns}

    def alike(row: Row) -> bool:
        own = {**row, "embedder": _text(row, "embedder").removeprefix(SHUFFLED_PREFIX).removesuffix("]")}
        return all(not known[column] or _text(own, column) in ("", *known[column]) for column in columns)

    return [row for row in shuffled if alike(row)]


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    if column == "excluded" and row.get("pool_source"):
        return str(value or "nothing")  # leaving nothing out is a choice like any other
    text = "" if value is None else str(value)
    return _SAME.get((column, text), text)


__all__ = [
    "BY",
    "NOT_COMPUTED",
    "QUALITY_SCOPE",
    "SCOPE_COLUMNS",
    "SHUFFLED_PREFIX",
    "STRATA",
    "TIME_SCOPE",
    "By",
    "shuffled_beside",
    "split_rows",
    "split_scopes",
    "split_shuffled",
    "timed_alike",
    "varying_columns",
]
