"""Published figures beside measured ones: what a suite says that others found, and what its rows come to.

A suite carries the figures in its table ``[published]`` (``ttft_bench/sweep/parts.py`` documents the keys), and the
manifest carries the suite. Each figure is held against the rows that it names; of several strategies or settings the
best counts. Means are over prompts, of times too, since published ones are.

- ``bpb_pct``: at a total time (``at_s``) on the line's own frontier, else the lowest mean of the settings named;
- ``select_s``, ``total_s``: mean seconds per prompt;
- ``finetune_speedup``: seconds of finetuning without reuse / with it, over the prompts and budgets that have both;
- ``bpb_pct_rise``: mean BPB% with reuse minus without, over the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ttft_bench.report.analysis import control_labels
from ttft_bench.report.groups import estimate
from ttft_bench.report.markdown import plain
from ttft_bench.report.paired.at_time import bpb_at_times
from ttft_bench.report.paired.prompts import by_setting, groups_of, per_prompt, quality
from ttft_bench.report.paired.split import QUALITY_SCOPE, split_scopes, timed_alike
from ttft_bench.report.questions.evaluate import matches
from ttft_bench.report.stats import Row, is_measured, number, settle, total_seconds

_TITLES = {
    "bpb_pct": "BPB%",
    "select_s": "selection, s",
    "total_s": "selection and finetuning, s",
    "finetune_speedup": "finetuning without reuse / with reuse",
    "bpb_pct_rise": "rise of BPB% by reuse",
}
#: Columns of a control or a failed row have no say; an arm other than finetuning has no published figure.
_ARM = "finetune"
#: What a figure of reuse holds fixed: prompt, strategy, learning rate, trainable set and budget.
_Unit = tuple[str, str, str, str, int]


@dataclass(frozen=True)
class Measured:
    """What the rows come to; the interval is None where none is computed, ``setting`` names the best of several."""

    value: float
    low: float | None
    high: float | None
    n_prompts: int
    setting: str = ""


@dataclass(frozen=True)
class Beside:
    """A published figure and its measurement; None if the rows have nothing of the kind."""

    what: str
    of: str
    published: float
    measured: Measured | None


@dataclass(frozen=True)
class PublishedTable:
    """All figures of a suite against the rows of one scope."""

    scope: str
    source: str
    device: str
    lines: tuple[Beside, ...]


def beside_published(rows: Sequence[Row], manifest: Mapping[str, Any]) -> tuple[PublishedTable, ...]:
    """Hold the published figures of a run's suite against its rows, scope by scope; nothing if it has none."""
    told = (manifest.get("suite") or {}).get("published")
    if not isinstance(told, Mapping):
        return ()
    controls = control_labels(manifest)
    trained = [row for row in rows if is_measured(row) and row.get("arm") == _ARM and row["strategy"] not in controls]
    source, device = str(told.get("source", "")), str(told.get("device", ""))
    return tuple(
        PublishedTable(name, source, device, tuple(_beside(figure, settle(part)) for figure in told["figures"]))
        for name, part in split_scopes(trained, QUALITY_SCOPE).items()
        if part
    )


def published_markdown(tables: Sequence[PublishedTable]) -> str:
    """The tables as Markdown; every name in them is escaped."""
    lines: list[str] = []
    for table in tables:
        where = f", rows with {plain(table.scope)}" if table.scope else ""
        lines += [f"## Published and measured{where}", ""]
        lines += [f"| figure | of | published on {plain(table.device)} | measured here | prompts |"]
        lines += ["|---|---|---:|---:|---:|", *(_line(item) for item in table.lines), ""]
        lines += [
            f"Published: {plain(table.source)}. Other hardware, other corpus cuts: compare ratios, not seconds.",
            "",
        ]
    return "\n".join(lines)


def _line(item: Beside) -> str:
    found = item.measured
    shown, prompts = "–", ""
    if found is not None:
        shown = f"{found.value:.4g}"
        if found.low is not None and found.high is not None:
            shown += f" ({found.low:.4g} to {found.high:.4g})"
        shown += f", {found.setting}" if found.setting else ""
        prompts = str(found.n_prompts)
    return f"| {plain(item.what)} | {plain(item.of)} | {item.published:g} | {plain(shown)} | {prompts} |"


def _beside(figure: Mapping[str, Any], rows: Sequence[Row]) -> Beside:
    quantity, at_s = str(figure["quantity"]), figure.get("at_s")
    chosen = [row for row in rows if _named(row, figure)]
    if quantity == "bpb_pct":
        measured = _lowest(chosen, figure) if at_s is None else _at_time(chosen, float(at_s))
    elif quantity in ("select_s", "total_s"):
        of: Callable[[Row], float | None] = (
            total_seconds if quantity == "total_s" else lambda row: number(row, "select_s")
        )
        measured = _mean(timed_alike(_settings(chosen, figure)), of)
    else:
        measured = _against_no_reuse(chosen, figure, quantity)
    title = _TITLES.get(quantity, quantity) + (f" at {at_s:g} s" if at_s is not None else "")
    return Beside(title, _of(figure), float(figure["value"]), measured)


def _of(figure: Mapping[str, Any]) -> str:
    patterns = [str(pattern) for pattern in figure["strategies"]]
    parts = ["any strategy" if pattern == "*" else pattern for pattern in patterns]
    words = [f"best of {', '.join(parts)}" if len(parts) > 1 else parts[0]]
    words += [f"N = {figure['budget']}"] if figure.get("budget") is not None else []
    words += [f"r = {figure['reuse']}"] if figure.get("reuse") is not None else []
    words += [str(figure[key]) for key in ("grouping", "subset") if figure.get(key)]
    return ", ".join(words)


def _named(row: Row, figure: Mapping[str, Any]) -> bool:
    """Whether a row is of a figure's strategies and subset, and reuses gradients as usual if at all."""
    strategy = str(row.get("strategy"))
    return (
        any(pattern == "*" or matches(strategy, str(pattern)) for pattern in figure["strategies"])
        and (not figure.get("subset") or row.get("subset") == figure["subset"])
        and row.get("reuse_mode") in ("", None, "cached")
    )


def _settings(rows: Sequence[Row], figure: Mapping[str, Any]) -> list[Row]:
    """The rows at a figure's budget, interval and grouping."""
    wanted = {"budget": figure.get("budget"), "reuse_interval": figure.get("reuse")}
    wanted["reuse_grouping"] = figure.get("grouping") or None
    return [row for row in rows if all(value is None or row.get(key) == value for key, value in wanted.items())]


def _lowest(rows: Sequence[Row], figure: Mapping[str, Any]) -> Measured | None:
    """The lowest mean of the settings that measured as many prompts as any of them."""
    found = {key: per_prompt(part) for key, part in by_setting(_settings(rows, figure)).items()}
    most = max(map(len, found.values()), default=0)
    whole = {key: values for key, values in found.items() if values and len(values) == most}
    if not whole:
        return None
    key = min(whole, key=lambda key: sum(whole[key].values()))
    best = estimate(whole[key], groups_of(rows))
    assert best is not None
    return Measured(best.mean, best.low, best.high, best.n, str(key) if len(whole) > 1 else "")


def _at_time(rows: Sequence[Row], time_s: float) -> Measured | None:
    table = bpb_at_times(timed_alike(rows), (time_s,))
    cells = [cell for cell in table.cells if cell.bpb_pct.value is not None]
    if not cells:
        return None
    best = min(cells, key=lambda cell: cell.bpb_pct.value or 0.0)
    value = best.bpb_pct.value
    assert value is not None
    several = len(table.lines) > 1
    return Measured(value, best.bpb_pct.low, best.bpb_pct.high, table.n_prompts, best.label if several else "")


def _mean(rows: Sequence[Row], of: Callable[[Row], float | None]) -> Measured | None:
    found = estimate(per_prompt(rows, of), groups_of(rows))
    return None if found is None else Measured(found.mean, found.low, found.high, found.n)


def _against_no_reuse(rows: Sequence[Row], figure: Mapping[str, Any], quantity: str) -> Measured | None:
    """A figure of reuse, over the units that were run with it and without; seconds are those of one device."""
    no_reuse = {**figure, "reuse": 1, "grouping": ""}
    of: Callable[[Row], float | None] = quality
    if quantity == "finetune_speedup":
        rows = timed_alike([*_settings(rows, figure), *_settings(rows, no_reuse)])
        of = lambda row: number(row, "finetune_s")  # noqa: E731
    ours, theirs = _units(_settings(rows, figure), of), _units(_settings(rows, no_reuse), of)
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        return None
    on, off = sum(ours[unit] for unit in shared), sum(theirs[unit] for unit in shared)
    value = off / on if quantity == "finetune_speedup" else (on - off) / len(shared)
    return Measured(value, None, None, len({unit[0] for unit in shared}))


def _units(rows: Sequence[Row], of: Callable[[Row], float | None]) -> dict[_Unit, float]:
    """Mean value of each unit, over seeds and groupings."""
    members: defaultdict[_Unit, list[float]] = defaultdict(list)
    for row in rows:
        value = of(row)
        if value is not None:
            fixed = str(row.get("lr")), str(row.get("trainable")), int(row["budget"])
            members[str(row["prompt_id"]), str(row["strategy"]), *fixed].append(value)
    return {unit: sum(values) / len(values) for unit, values in members.items()}


__all__ = ["Beside", "Measured", "PublishedTable", "beside_published", "published_markdown"]
