"""What was picked: distinct items, residual, similarity and duality gap over budgets."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ttft_bench.report.charts.model import Axis, Chart, Look, Mark, Panel, Points
from ttft_bench.report.charts.words import budget_axis, entry_name, look_of, setting_name, strategy_entries
from ttft_bench.report.figures import INK
from ttft_bench.report.paired.prompts import by_setting, per_prompt
from ttft_bench.report.stats import Key, Row, Spread, number, spread
from ttft_bench.report.view import View

KEY = "selection_diagnostics"

#: Column, panel title, axis scale.
_PANELS = (
    ("n_distinct", "distinct items among the N picks", "linear"),
    ("residual", "residual ‖prompt − mean of picks‖², lower is nearer", "linear"),
    ("similarity_mean", "mean cosine of picks and prompt", "linear"),
    ("gap", "Frank-Wolfe gap, lower is nearer to the optimum", "log"),
)
#: Gaps below this are rounding; they are drawn at it.
GAP_FLOOR = 1e-13


def selection_diagnostics(view: View) -> Chart:
    """A panel per diagnostic, a line per strategy: median over prompts, quartiles as bars."""
    title = "What was picked, over budgets"
    members: defaultdict[tuple[Any, ...], dict[Key, list[Row]]] = defaultdict(dict)
    for key, rows in by_setting(view.rows).items():
        if key.reuse_interval == 1 and key.arm in ("finetune", "in-context") and key.budget > 0:
            members[key.strategy, key.trainable, key.lr][key] = rows
    # The same picks in two arms, or at two learning rates, are one line.
    lines = {series[0]: found for series, found in reversed(members.items())}
    axis = budget_axis(key.budget for line in lines.values() for key in line)
    panels = []
    for column, name, scale in _PANELS:
        marks = [mark for line in lines.values() for mark in _line(view, line, column)]
        if marks:
            own: tuple[Mark, ...] = (_diagonal(axis),) if column == "n_distinct" and axis.scale == "linear" else ()
            y = _decades(marks) if scale == "log" else Axis("")
            panels.append(Panel(name, axis, y, (*own, *marks)))
    if not panels:
        return Chart(KEY, title, "", missing="No selection carries diagnostics.")
    caption = (
        "Medians over prompts; bars are quartiles. Distinct items say how much gradient reuse has to work with. The "
        "residual is how far the mean of the picks lies from the prompt, computed alike for every strategy. A gap "
        "certifies how far from the optimum of its own problem a strategy's weights can be at most, before they are "
        "rounded to N picks; strategies without one have no line."
    )
    drawn = {mark.entry for panel in panels for mark in panel.marks if isinstance(mark, Points)}
    keys = [key for line in lines.values() for key in line if entry_name(key.strategy) in drawn]
    return Chart(KEY, title, caption, tuple(panels), strategy_entries(view, keys))


def _line(view: View, line: dict[Key, list[Row]], column: str) -> Sequence[Points]:
    found: dict[Key, Spread] = {}
    for key, rows in line.items():
        values = per_prompt(rows, lambda row: number(row, column))
        if (value := spread(list(values.values()))) is not None:
            found[key] = value
    if not found:
        return ()
    floor = GAP_FLOOR if column == "gap" else -float("inf")
    first = next(iter(found))
    return (
        Points(
            entry_name(first.strategy),
            tuple(float(key.budget) for key in found),
            tuple(max(value.median, floor) for value in found.values()),
            look_of(view, first, size=5),
            "line",
            y_limits=tuple((max(value.q25, floor), max(value.q75, floor)) for value in found.values()),
            hover=tuple(
                (setting_name(key), f"{value.median:.3g} ({value.q25:.3g} to {value.q75:.3g})")
                for key, value in found.items()
            ),
        ),
    )


def _decades(marks: Sequence[Points]) -> Axis:
    """A logarithmic axis of whole decades around all points and their bars, with at most seven ticks."""
    reach = [place for mark in marks for bounds in mark.y_limits for place in (*mark.y, *bounds) if place]
    low, high = math.floor(math.log10(min(reach)) - 0.05), math.ceil(math.log10(max(reach)) + 0.05)
    step = math.ceil((high - low + 1) / 7)
    ticks = tuple(10.0**decade for decade in range(high, low - 1, -step))
    return Axis("", "log", ticks=ticks[::-1], limits=(10.0**low, 10.0**high))


def _diagonal(axis: Axis) -> Points:
    return Points("", axis.ticks, axis.ticks, Look(INK, ":", "", 0.5, 1.0), "line")


__all__ = ["selection_diagnostics"]
