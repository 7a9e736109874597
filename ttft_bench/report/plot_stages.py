"""Where the time goes: the stages of one prompt, stacked, at each strategy's largest budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttft_bench.report.analysis import Analysis
from ttft_bench.report.figures import INK, label, new_axes
from ttft_bench.report.format import seconds, tick_seconds
from ttft_bench.report.metrics import STAGES
from ttft_bench.report.palette import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colour and opacity per stage; scoring is the benchmark's own time, so it is grey.
_LOOK: dict[str, tuple[str, float]] = {
    "embed_s": (COLOURS[5], 0.9),
    "retrieve_s": (COLOURS[7], 0.9),
    "select_s": (COLOURS[1], 0.9),
    "finetune_s": (COLOURS[0], 0.9),
    "restore_s": (COLOURS[6], 0.9),
    "score_s": (INK, 0.25),
}


def draw_stages(analysis: Analysis, narrow: bool = False) -> Figure:
    """One bar per strategy and reuse setting; call inside :func:`figures.drawing_style`."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    bars = [series.largest for series in analysis.series if series.largest.times]
    height = 1.5 + (0.30 if narrow else 0.33) * max(len(bars), 2)
    figure, axes = new_axes(4.2 if narrow else 8.8, height + (0.5 if narrow else 0.0))
    title = "Where the time goes" + ("\n" if narrow else ": ") + "medians at the largest budget"
    axes.set_title(title, fontsize=11 if narrow else 12)
    if not bars:
        axes.text(0.5, 0.5, "no measured cell", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return figure
    rows = range(len(bars))
    left = [0.0] * len(bars)
    for stage in STAGES:
        widths = [group.times[stage.key].median if stage.key in group.times else 0.0 for group in bars]
        colour, alpha = _LOOK[stage.key]
        axes.barh(rows, widths, left=left, height=0.66, color=colour, alpha=alpha, label=stage.label, linewidth=0)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for row, total in zip(rows, left, strict=True):
        axes.annotate(seconds(total), (total, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    names = []
    for group in bars:
        reuse = "" if group.key.reuse == "1" else f" r={group.key.reuse}"
        mark = "*" if group.control else ""
        names.append(f"{label(group.key.strategy, 14 if narrow else 34)}{mark}{label(reuse)}, N={group.key.budget}")
    axes.set_yticks(rows, names, fontsize=7.5 if narrow else 9)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlim(0, max(left) * (1.22 if narrow else 1.1) or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_seconds(value)))
    axes.grid(True, axis="x")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3 if narrow else 6)
    return figure


__all__ = ["draw_stages"]
