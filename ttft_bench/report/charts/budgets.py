"""What more steps buy: BPB% over budgets, for all prompts and for each subset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ttft_bench.report.charts.model import Axis, Band, Chart, Mark, Panel, Points
from ttft_bench.report.charts.words import (
    budget_axis,
    entry_name,
    limits,
    look_of,
    reuse_entries,
    setting_name,
    strategy_entries,
    told,
)
from ttft_bench.report.groups import Estimate, estimate
from ttft_bench.report.metrics import QUALITY
from ttft_bench.report.paired.prompts import by_setting, groups_of, per_prompt
from ttft_bench.report.paired.split import split_rows
from ttft_bench.report.stats import Key, Row
from ttft_bench.report.view import View
from ttft_bench.text import printable

KEY = "budget_curves"


def budget_curves(view: View) -> Chart:
    """One panel for all prompts and one per subset; a line per strategy without gradient reuse."""
    title = "What a larger budget buys, by subset: lower BPB% is better"
    subsets = {name: rows for name, rows in split_rows(view.rows, "subset").items() if rows}
    parts: dict[str, Sequence[Row]] = {"all prompts": view.rows}
    parts |= {printable(name): rows for name, rows in subsets.items()} if len(subsets) > 1 else {}
    curves = {name: _curves(rows) for name, rows in parts.items()}
    curves = {name: found for name, found in curves.items() if found}
    if not curves:
        return Chart(KEY, title, "", missing="No strategy was measured without gradient reuse.")
    keys = [key for found in curves.values() for line in found for key in line]
    axis = budget_axis(key.budget for key in keys)
    panels = tuple(_panel(view, name, found, axis) for name, found in curves.items())
    caption = (
        "Means over prompts with 95 % BCa bootstrap intervals over groups as bands, without gradient reuse; a "
        "single point is a strategy that ran at one budget only. Each panel has a scale of its own. Few prompts make "
        "wide bands; fewer than five groups make none."
    )
    return Chart(KEY, title, caption, panels, (*strategy_entries(view, keys), *reuse_entries(view, keys)))


def _curves(rows: Sequence[Row]) -> list[dict[Key, Estimate]]:
    """Estimates of each line over its budgets."""
    groups = groups_of(rows)
    lines: defaultdict[tuple[Any, ...], dict[Key, Estimate]] = defaultdict(dict)
    for key, part in by_setting(rows).items():
        drawn = key.reuse_interval == 1 and key.budget > 0
        found = estimate(per_prompt(part), groups) if drawn else None
        if found is not None:
            lines[key.series][key] = found
    return list(lines.values())


def _panel(view: View, name: str, curves: Sequence[Mapping[Key, Estimate]], axis: Axis) -> Panel:
    bands: list[Mark] = []
    lines: list[Mark] = []
    for curve in curves:
        keys = list(curve)
        look = look_of(view, keys[0])
        entry = entry_name(keys[0].strategy)
        bounded = [(key.budget, found) for key, found in curve.items() if found.low is not None]
        if len(bounded) > 1:
            x = tuple(float(budget) for budget, _ in bounded)
            low = tuple(found.low for _, found in bounded if found.low is not None)
            high = tuple(found.high for _, found in bounded if found.high is not None)
            bands.append(Band(entry, x, low, high, look))
        lines.append(
            Points(
                entry,
                tuple(float(key.budget) for key in keys),
                tuple(found.mean for found in curve.values()),
                look,
                "line",
                # A single budget has no band to stand in.
                y_limits=tuple(limits(found) for found in curve.values()) if len(bounded) == 1 else (),
                hover=tuple((setting_name(key), f"BPB% {told(found)}, n = {found.n}") for key, found in curve.items()),
            )
        )
    return Panel(name, axis, Axis(QUALITY.label), (*bands, *lines))


__all__ = ["budget_curves"]
