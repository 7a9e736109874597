"""The picture: BPB% against seconds per prompt, with the frontier."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Sequence
from typing import Literal

from ttft_bench.report.analysis import RANDOM_CONTROL, Analysis
from ttft_bench.report.charts.model import Axis, Chart, Entry, Look, Mark, Panel, Points, Rule
from ttft_bench.report.charts.words import (
    entry_name,
    group_hover,
    limits,
    log_seconds,
    look_of,
    reuse_entries,
    setting_name,
    strategy_entries,
)
from ttft_bench.report.figures import INK
from ttft_bench.report.groups import Group
from ttft_bench.report.metrics import COST, QUALITY, better_corner
from ttft_bench.report.stats import UNTOUCHED, Key
from ttft_bench.report.view import View

KEY = "quality_vs_time"
UNTOUCHED_PCT = 100.0
FAINT = 0.4
#: What a line of text takes of the height.
NAME_ROOM = 0.045


def quality_vs_time(view: View) -> Chart:
    """Quality against time for every setting of a scope."""
    analysis = view.timed
    title = f"{QUALITY.label} against time per prompt: {better_corner(COST, QUALITY)}"
    lines = [
        drawn for series in analysis.series if not series.groups[0].control and (drawn := _drawable(series.groups))
    ]
    if not lines:
        return Chart(KEY, title, "", missing="No setting has both a quality and a time.")
    groups = [group for line in lines for group in line]
    controls = _controls(analysis)
    marks: list[Mark] = _rules(analysis, groups, controls)
    labelled = _labelled(analysis.frontier)
    for line in lines:
        marks += _line(view, analysis, line, labelled)
    marks.append(_stairs(analysis))
    legend = (
        *strategy_entries(view, [group.key for group in groups]),
        *reuse_entries(view, [group.key for group in groups]),
        Entry("frontier", Look(INK, marker="", width=2.4)),
    )
    panel = Panel(
        "",
        log_seconds(COST.label, [group.value(COST) or 0.0 for group in groups]),
        Axis(QUALITY.axis_title),
        tuple(marks),
    )
    return Chart(KEY, title, _caption(analysis, groups, controls), (panel,), legend)


def _drawable(groups: Sequence[Group]) -> list[Group]:
    return [group for group in groups if group.bpb is not None and (group.value(COST) or 0) > 0]


def _controls(analysis: Analysis) -> list[Group]:
    """Each control at its largest measured budget, worst first; the untouched model has a line of its own."""
    found = [series.largest for series in analysis.series if series.largest.control]
    found = [group for group in found if group.bpb is not None and group.key.arm != "none"]
    return sorted(found, key=_mean, reverse=True)


def _mean(group: Group) -> float:
    return 0.0 if group.bpb is None else group.bpb.mean


def _labelled(frontier: Sequence[Group]) -> frozenset[Key]:
    """The best setting of each budget: labels of all of them would stand on each other."""
    best: dict[int, Group] = {}
    for group in frontier:
        best[group.key.budget] = min(group, best.get(group.key.budget, group), key=_mean)
    return frozenset(group.key for group in best.values())


def _line(view: View, analysis: Analysis, line: Sequence[Group], labelled: Container[Key]) -> list[Mark]:
    """A faint line of all its points, and those on the frontier once more, bold and with their budgets."""
    key = line[0].key
    entry = entry_name(key.strategy)
    bold = [group for group in line if group in analysis.frontier]
    rest = [group for group in line if group not in analysis.frontier]
    x, y = _places(line)
    faint = look_of(view, key, opacity=FAINT)
    found: list[Mark] = [Points(entry, x, y, dataclasses.replace(faint, marker=""), "line")]
    found += [_points(entry, rest, dataclasses.replace(faint, width=1.0))] if rest else []
    if bold:
        said = [str(group.key.budget) if group.key in labelled else "" for group in bold]
        found.append(_points(entry, bold, look_of(view, key, size=8.5), said))
    return found


def _points(entry: str, groups: Sequence[Group], look: Look, labels: Sequence[str] = ()) -> Points:
    x, y = _places(groups)
    return Points(
        entry,
        x,
        y,
        look,
        y_limits=tuple(limits(group.bpb) for group in groups),
        labels=tuple(labels),
        hover=tuple(map(group_hover, groups)),
    )


def _places(groups: Sequence[Group]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    found = [(group.value(COST), group.bpb) for group in groups]
    pairs = [(cost, bpb.mean) for cost, bpb in found if cost is not None and bpb is not None]
    return tuple(cost for cost, _ in pairs), tuple(quality for _, quality in pairs)


def _stairs(analysis: Analysis) -> Points:
    x, y = _places(sorted(analysis.frontier, key=lambda group: group.value(COST) or 0.0))
    return Points("frontier", x, y, Look(INK, "-", "", 0.75, 2.2), "stairs")


def _rules(analysis: Analysis, groups: Sequence[Group], controls: Sequence[Group]) -> list[Mark]:
    """The untouched model and the controls; the control of the summary has its interval.

    Lines of settings fall from the upper left to the lower right, so names of low lines have room at the left.
    """
    found: list[Mark] = []
    means = [_mean(group) for group in (*groups, *controls)]
    reach = max(means) - min(means)
    if _is_near(groups):
        found.append(Rule("y", UNTOUCHED_PCT, Look(INK, ":", "", 0.8, 1.0), UNTOUCHED))
        reach = max(reach, UNTOUCHED_PCT - min(means))
    middle = (max(means) + min(means)) / 2
    for place, group in enumerate(controls):
        assert group.bpb is not None
        low, high = group.bpb.low, group.bpb.high
        is_main = analysis.control is not None and group.key == analysis.control.key
        span = (low, high) if is_main and low is not None and high is not None else None
        above = controls[place - 1] if place else None
        # A name that would run into the line above it stands there, after the name of that one.
        crowded = above is not None and _mean(above) - group.bpb.mean < NAME_ROOM * reach
        said = "" if crowded else _names(controls[place:], reach)
        end: Literal["left", "right"] = "left" if group.bpb.mean < middle else "right"
        found.append(Rule("y", group.bpb.mean, Look(INK, "--", "", 0.7, 1.0), said, span, end))
    return found


def _names(controls: Sequence[Group], reach: float) -> str:
    """The name of the first one, and of those so close below it that theirs have no room."""
    near = [controls[0]]
    for group in controls[1:]:
        if _mean(near[-1]) - _mean(group) >= NAME_ROOM * reach:
            break
        near.append(group)
    return "; ".join(setting_name(group.key) for group in near)


def _is_near(groups: Sequence[Group]) -> bool:
    """Whether drawing the untouched model leaves more than half of the height to the settings."""
    means = [group.bpb.mean for group in groups if group.bpb is not None]
    return max(means) > UNTOUCHED_PCT or UNTOUCHED_PCT - max(means) < max(max(means) - min(means), 5.0)


def _caption(analysis: Analysis, groups: Sequence[Group], controls: Sequence[Group]) -> str:
    found = (
        "Each point is one setting: the mean over prompts of 100 × bits per byte after / before, at its median time "
        "per prompt. The stairs are the frontier: no other setting is both faster and better; its points are bold, "
        "and the best of each budget N carries it. Bars are 95 % BCa bootstrap intervals over groups of prompts. They "
        "hold for one setting each: prompts are shared, so overlapping bars do not prove two settings equal; the "
        "forest plot compares them."
    )
    if controls:
        found += " Dashed across: controls, at their largest budget."
        main = analysis.control
        if main is not None and main.key.strategy == RANDOM_CONTROL:
            found += f" {RANDOM_CONTROL}, with its interval in grey, is what finetuning on any documents gives."
    return found + ("" if _is_near(groups) else " The untouched model, at 100, lies above what is shown.")


__all__ = ["quality_vs_time"]
