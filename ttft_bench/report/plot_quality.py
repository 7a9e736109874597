"""The picture: BPB% against seconds per prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ttft_bench.report.analysis import Analysis, Series
from ttft_bench.report.figures import INK, label, new_axes
from ttft_bench.report.format import plural, tick_seconds
from ttft_bench.report.metrics import COST, QUALITY, better_corner
from ttft_bench.report.palette import markers, styles
from ttft_bench.report.stats import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Beyond this many points only the frontier and the last point of a line carry their budget.
MAX_LABELLED_POINTS = 32
UNTOUCHED_PCT = 100.0


def draw_quality(analysis: Analysis, narrow: bool = False) -> Figure:
    """Quality against time for every setting; call inside :func:`figures.drawing_style`."""
    lines = [series for series in analysis.series if not series.groups[0].control and _drawable(series.groups)]
    n_entries = len({line.groups[0].key.strategy for line in lines})
    figure, axes = new_axes(*((4.2, 4.9 + 0.1 * n_entries) if narrow else (8.8, 5.2 + 0.05 * n_entries)))
    title = f"{QUALITY.label} against time per prompt" + ("\n" if narrow else ": ") + better_corner(COST, QUALITY)
    axes.set_title(title, pad=20, fontsize=11 if narrow else 12)
    if not lines:
        axes.text(0.5, 0.5, "no measured cell", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return figure
    prompts = plural(len(analysis.prompts), "prompt")
    shown = (
        f"numbers: N; bars: 95 % intervals; {prompts}"
        if narrow
        else (f"numbers: training steps N; bars: 95 % intervals over {prompts}; staircase: best within a time")
    )
    axes.annotate(shown, (0, 1), xycoords="axes fraction", xytext=(0, 7), textcoords="offset points", fontsize=8.5)
    look = styles(line.groups[0].key.strategy for line in lines)
    marks = markers(line.groups[0].key.reuse for line in lines)
    crowded = sum(len(_drawable(line.groups)) for line in lines) > MAX_LABELLED_POINTS
    _scale(axes, analysis, lines, narrow)
    _draw_frontier(axes, analysis)
    for line in lines:
        key = line.groups[0].key
        colour, dash = look[key.strategy]
        _draw_line(axes, analysis, _drawable(line.groups), colour, dash, marks[key.reuse], crowded)
    _draw_references(axes, analysis, narrow)
    _draw_legend(figure, analysis, look, marks, narrow)
    return figure


def _drawable(groups: Sequence[Group]) -> list[Group]:
    return [group for group in groups if group.bpb is not None and (group.value(COST) or 0) > 0]


def _at(group: Group) -> tuple[float, float]:
    x, y = group.value(COST), group.value(QUALITY)
    assert x is not None and y is not None
    return x, y


def _draw_line(
    axes: Axes, analysis: Analysis, groups: list[Group], colour: str, dash: str, marker: str, crowded: bool
) -> None:
    points = [_at(group) for group in groups]
    axes.plot(*zip(*points, strict=True), color=colour, linestyle=dash, linewidth=1.3, alpha=0.45, zorder=3)
    for group, (x, y) in zip(groups, points, strict=True):
        bold = group in analysis.frontier
        if group.bpb is not None and group.bpb.low is not None and group.bpb.high is not None:
            ends = (group.bpb.low, group.bpb.high)
            axes.vlines(x, *ends, color=colour, linewidth=1.1, alpha=0.7 if bold else 0.22, zorder=4)
        axes.plot(
            [x],
            [y],
            marker=marker,
            markersize=8 if bold else 5.5,
            alpha=1.0 if bold else 0.45,
            color=colour,
            markerfacecolor=colour if analysis.is_complete(group) else "none",
            markeredgecolor=INK if bold else colour,
            markeredgewidth=1.0,
            linestyle="none",
            zorder=6 if bold else 5,
        )
        if bold or not crowded or group is groups[-1]:
            axes.annotate(
                str(group.key.budget),
                (x, y),
                xytext=(6, 5),
                textcoords="offset points",
                fontsize=8,
                fontweight="bold" if bold else "normal",
                color=colour,
                alpha=1.0 if bold else 0.75,
                zorder=7,
            )


def _draw_frontier(axes: Axes, analysis: Analysis) -> None:
    points = [_at(group) for group in _drawable(analysis.frontier)]
    if points:
        axes.plot(*zip(*points, strict=True), drawstyle="steps-post", color=INK, linewidth=2.4, alpha=0.8, zorder=2)


def _scale(axes: Axes, analysis: Analysis, lines: list[Series], narrow: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    groups = [group for line in lines for group in _drawable(line.groups)]
    times = [_at(group)[0] for group in groups]
    low, high = math.log10(min(times)), math.log10(max(times))
    margin = max(0.07 * (high - low), 0.08)
    axes.set_xscale("log")
    axes.set_xlim(10 ** (low - margin), 10 ** (high + margin))
    decades = (high - low) * (1.6 if narrow else 1.0)
    subs = (1.0, 2.0, 5.0) if decades < 2.2 else (1.0, 3.0) if decades < 3.5 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_seconds(value)))
    axes.set_xlabel(COST.axis_title)
    axes.set_ylabel(QUALITY.label if narrow else QUALITY.axis_title)
    axes.grid(True)
    values = [bound for group in [*groups, *_controls(analysis)] for bound in _bounds(group)]
    bottom, top = min(values), max(values)
    span = max(top - bottom, 1.0)
    if bottom - span < UNTOUCHED_PCT < top + span:
        bottom, top = min(bottom, UNTOUCHED_PCT), max(top, UNTOUCHED_PCT)
    axes.set_ylim(bottom - 0.07 * span, top + 0.07 * span)


def _bounds(group: Group) -> tuple[float, ...]:
    assert group.bpb is not None
    return tuple(value for value in (group.bpb.low, group.bpb.mean, group.bpb.high) if value is not None)


def _controls(analysis: Analysis) -> list[Group]:
    return [group for group in analysis.groups if group.control and group.bpb is not None]


def _draw_references(axes: Axes, analysis: Analysis, narrow: bool) -> None:
    """The untouched model and the controls: horizontal lines named in the right margin."""
    bottom, top = axes.get_ylim()
    names: list[tuple[float, str]] = []
    if bottom < UNTOUCHED_PCT < top:
        axes.axhline(UNTOUCHED_PCT, color=INK, linewidth=1.0, linestyle=(0, (1, 2)), zorder=1)
        names.append((UNTOUCHED_PCT, "untouched\nmodel"))
    else:
        names.append((top, f"untouched\nmodel: 100 {'↑' if top < UNTOUCHED_PCT else '↓'}"))
    for group in _controls(analysis):
        assert group.bpb is not None
        axes.axhline(group.bpb.mean, color=INK, linewidth=1.2, linestyle="--", alpha=0.7, zorder=1)
        if group.bpb.low is not None and group.bpb.high is not None:
            axes.axhspan(group.bpb.low, group.bpb.high, color=INK, alpha=0.07, linewidth=0, zorder=0)
        shown = label(group.key.strategy, 14 if narrow else 24)
        names.append((group.bpb.mean, f"{shown}\n(control, N={group.key.budget})"))
    apart = 0.085 * (top - bottom)
    position = math.inf
    for y, text in sorted(names, reverse=True):
        position = min(y, position - apart)
        axes.annotate(
            text,
            (1.0, position),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=7 if narrow else 8,
            alpha=0.9,
            annotation_clip=False,
        )


def _draw_legend(
    figure: Figure, analysis: Analysis, look: dict[str, tuple[str, str]], marks: dict[str, str], narrow: bool
) -> None:
    from matplotlib.lines import Line2D

    def entry(text: str, **style: Any) -> Line2D:
        return Line2D([], [], label=text, **style)

    entries = [
        entry(label(strategy, 26 if narrow else 36), color=colour, linestyle=dash, linewidth=2.5)
        for strategy, (colour, dash) in look.items()
    ]
    if len(marks) > 1:
        entries += [
            entry(
                "no reuse" if reuse == "1" else f"reuse {label(reuse)}",
                color=INK,
                marker=marker,
                linestyle="none",
            )
            for reuse, marker in marks.items()
        ]
    entries.append(entry("frontier", color=INK, linewidth=2.4, alpha=0.8))
    measured = [group for group in analysis.groups if group.bpb is not None and not group.control]
    if not all(analysis.is_complete(group) for group in measured):
        entries.append(entry("not all prompts", color=INK, marker="o", markerfacecolor="none", linestyle="none"))
    figure.legend(handles=entries, loc="outside lower center", ncols=2 if narrow else 4)


__all__ = ["draw_quality"]
