"""Two figures: what the budget buys against the exact floor, and how fast each solver gets there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ttft_bench.checks.program import program_of
from ttft_bench.registry import build_selector
from ttft_bench.report.figures import INK, drawing_style, label, new_axes, to_png, to_svg
from ttft_bench.report.format import plural
from ttft_bench.report.palette import styles
from ttft_bench.verify.summary import VerifySummary
from ttft_bench.verify.traces import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Gaps below this are rounding; they are drawn at it.
GAP_FLOOR = 1e-13
#: Longest line of a name in a legend, which stands in the axes.
NAME_CHARS = 36
BUDGET_TITLE = "budget N, in training steps"


def draw_verification(summaries: Sequence[VerifySummary], traces: Sequence[Trace]) -> dict[str, bytes]:
    """File names with their content, PNG and SVG on white."""
    with drawing_style():
        objective, gap = draw_objective(summaries), draw_gap(traces)
        return {
            "objective_vs_budget.png": to_png(objective),
            "objective_vs_budget.svg": to_svg(objective, salt="objective"),
            "gap_vs_iterations.png": to_png(gap),
            "gap_vs_iterations.svg": to_svg(gap, salt="gap"),
        }


def draw_objective(summaries: Sequence[VerifySummary]) -> Figure:
    """Mean f against budget, and where integer optima were sought a second panel with those."""
    small = [row for row in summaries if row.integer_excess is not None]
    figure, axes = new_axes(11.0 if small else 8.0, 5.0)
    figure.suptitle("What the budget buys: lower is better", x=0.01, ha="left", fontweight="bold", fontsize=12)
    if not summaries:
        return _empty(figure, axes, "nothing was verified")
    look = styles(row.strategy for row in summaries)
    if small:
        axes.remove()
        axes, beside = figure.subplots(1, 2, width_ratios=(1.25, 1.0))
        _draw_small(beside, small, look)
    _draw_floor(axes, summaries)
    groups = _by_strategy(summaries)
    for (strategy, group), width in zip(groups.items(), _widths(len(groups)), strict=True):
        colour, dash = look[strategy]
        budgets, size = [row.budget for row in group], 3.5 + width
        weights, rounded = [row.objective for row in group], [row.residual for row in group]
        axes.plot(budgets, weights, color=colour, linestyle=dash, linewidth=0.6 * width, alpha=0.5, zorder=3)
        axes.plot(budgets, weights, "o", color=colour, markerfacecolor="white", markersize=size, zorder=3)
        axes.plot(
            budgets, rounded, color=colour, linestyle=dash, linewidth=width, marker="o", markersize=size,
            label=label(strategy, NAME_CHARS), zorder=4,
        )  # fmt: skip
    axes.plot([], [], "o", color=INK, markersize=5, label="filled: N whole steps")
    axes.plot([], [], "o", color=INK, markerfacecolor="white", markersize=5, label="open: weights before rounding")
    pools = max(row.pools for row in summaries)
    axes.set_title(f"whole pools, mean of {plural(pools, 'pool')}", fontsize=9.5, fontweight="normal")
    _count_axis(axes, [row.budget for row in summaries], BUDGET_TITLE)
    axes.set_ylabel("f = squared distance to the prompt")
    axes.legend(loc="upper right")
    return figure


def _draw_floor(axes: Axes, summaries: Sequence[VerifySummary]) -> None:
    """The exact optimum: a line over budgets for every program that was solved."""
    programs: dict[object, list[VerifySummary]] = {}
    for row in summaries:
        programs.setdefault(program_of(build_selector(row.strategy)), []).append(row)
    for place, group in enumerate(programs.values()):
        points = sorted({row.budget: row.optimum for row in group}.items())
        budgets, optima = zip(*points, strict=True)
        style = ("-", "--", ":", "-.")[place % 4]
        name = "exact optimum f*" if len(programs) == 1 else f"f* of {label(group[0].strategy, NAME_CHARS)}"
        axes.plot(budgets, optima, color=INK, linewidth=1.2, linestyle=style, label=name, zorder=6)


def _draw_small(axes: Axes, small: Sequence[VerifySummary], look: dict[str, tuple[str, str]]) -> None:
    groups = _by_strategy(small)
    for (strategy, group), width in zip(groups.items(), _widths(len(groups)), strict=True):
        colour, dash = look[strategy]
        budgets = [row.budget for row in group]
        name = None if axes.lines else "best whole steps"
        axes.plot(
            budgets, [row.integer_optimum or 0.0 for row in group], "_", color=INK, markersize=20,
            markeredgewidth=1.6, label=name, zorder=5,
        )  # fmt: skip
        axes.plot(
            budgets, [row.integer_residual or 0.0 for row in group], color=colour, linestyle=dash, linewidth=width,
            marker="o", markersize=3.5 + width, zorder=4,
        )  # fmt: skip
    hits, pools = sum(row.integer_hits for row in small), sum(row.integer_pools for row in small)
    axes.set_title(
        f"first rows of each pool: best whole steps found in {hits} of {pools}", fontsize=9.5, fontweight="normal"
    )
    _count_axis(axes, [row.budget for row in small], BUDGET_TITLE)
    axes.legend(loc="upper right")


def _widths(count: int) -> list[float]:
    """Line widths, the first the widest: what lies on the same points stays visible as a rim."""
    return [1.4 + 1.1 * (count - 1 - place) * min(1.0, 4.0 / count) for place in range(count)]


def _by_strategy(summaries: Sequence[VerifySummary]) -> dict[str, list[VerifySummary]]:
    groups: dict[str, list[VerifySummary]] = {}
    for row in sorted(summaries, key=lambda row: row.budget):
        groups.setdefault(row.strategy, []).append(row)
    return {row.strategy: groups[row.strategy] for row in summaries}


def _count_axis(axes: Axes, counts: Iterable[int], title: str) -> None:
    """A log axis with a tick at each of the counts."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ticks = sorted(set(counts))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ticks if len(ticks) <= 15 else ticks[:: -(-len(ticks) // 8)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.set_xlabel(title)
    axes.grid(True)


def draw_gap(traces: Sequence[Trace]) -> Figure:
    """Certified gap (solid, 20-80 % band) and true gap (thin) against iterations, log-log."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    figure, axes = new_axes(8.0, 5.0)
    axes.set_title("How fast each solver closes the gap: lower left is better", pad=20)
    if not any(trace.iterations for trace in traces):
        return _empty(figure, axes, "no strategy has a parameter max_iter to sweep")
    pools = max(trace.pools for trace in traces)
    told = f"thick: certified gap, median and 20-80 % of {plural(pools, 'pool')}; thin: f(w) - f*; cross: it stopped"
    axes.annotate(told, (0, 1), xycoords="axes fraction", xytext=(0, 7), textcoords="offset points", fontsize=8.5)
    look = styles(trace.strategy for trace in traces)
    for trace in traces:
        if not trace.iterations:
            continue
        colour, dash = look[trace.strategy]
        gap, low, high, true = (
            [max(value, GAP_FLOOR) for value in values]
            for values in (trace.gap, trace.gap_low, trace.gap_high, trace.true_gap)
        )
        axes.fill_between(trace.iterations, low, high, color=colour, alpha=0.14, linewidth=0, zorder=2)
        axes.plot(
            trace.iterations, gap, color=colour, linestyle=dash, linewidth=2.2, marker="o", markersize=4,
            label=label(trace.strategy, NAME_CHARS), zorder=4,
        )  # fmt: skip
        axes.plot(trace.iterations, true, color=colour, linestyle=dash, linewidth=1.0, alpha=0.75, zorder=3)
        if trace.stopped:
            axes.plot(trace.iterations[-1:], gap[-1:], marker="X", markersize=9, color=colour, zorder=5)
    _count_axis(axes, (step for trace in traces for step in trace.iterations), "iterations (max_iter)")
    axes.set_yscale("log")
    axes.set_ylim(bottom=GAP_FLOOR / 2)
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-").replace("e+00", ""))
    )
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("gap")
    axes.legend(loc="best")
    return figure


def _power(value: float) -> str:
    """``1e-6``, and ``1`` for one."""
    return f"{value:g}" if value >= 0.01 else f"{value:.0e}".replace("e-0", "e-")


def _empty(figure: Figure, axes: Axes, reason: str) -> Figure:
    axes.text(0.5, 0.5, reason, ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()
    return figure


__all__ = ["draw_gap", "draw_objective", "draw_verification"]
