"""The figure: ratios against their targets, and time against pool size and budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from peerlib.table import all_rows

_STYLE: Any = {
    "svg.fonttype": "path",
    "svg.hashsalt": "ttft-bench",
    "font.size": 8.0,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
_COLOURS = {"met": "#2a7f5f", "missed": "#b5482f", "reported": "#7a7f87"}
_LINES = ("#3b5b92", "#2a7f5f", "#b5482f", "#7a7f87")


def draw(results: dict[str, Any], path: Path) -> None:
    """Write the figure as SVG; the same results give the same bytes."""
    rows = all_rows(results)
    with plt.rc_context(_STYLE):
        figure = plt.figure(figsize=(11, 4.2 + 0.16 * len(rows)), layout="constrained")
        halves: Any = figure.subfigures(2, 1, height_ratios=[max(0.16 * len(rows), 1.0), 3.4])
        top, bottom = halves
        _ratios(top.subplots(), rows)
        if results["growth"]:
            by_k, by_n = bottom.subplots(1, 2, sharey=True)
            _curves(by_k, results["growth"], "K", "pool size K (N = 50)")
            _curves(by_n, results["growth"], "N", "budget N (K = 1,000)")
            by_k.set_ylabel("microseconds a prompt, lower is better")
            by_k.legend(fontsize=7)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)


def _ratios(axes: Axes, rows: list[dict[str, Any]]) -> None:
    labels = [f"{row['against']} | {row['ours']}, {row['road']} | {row['at']}" for row in rows]
    axes.barh(range(len(rows)), [row["ratio"] for row in rows], color=[_COLOURS[row["verdict"]] for row in rows])
    axes.set_yticks(range(len(rows)), labels)
    axes.grid(axis="y", visible=False)
    for place, row in enumerate(rows):
        if row["target"] is not None:
            axes.plot([row["target"]] * 2, [place - 0.45, place + 0.45], color="black", linewidth=1.5)
        end = max(row["ratio"], row["target"] or 0.0)
        axes.text(end * 1.08, place, f"{row['ratio']:.1f}x", va="center", fontsize=7)
    axes.margins(x=0.12, y=0.01)
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=6)
    axes.set_xlabel("times faster than the peer (tick: target; green: met, red: missed, grey: reported)")


def _curves(axes: Axes, growth: dict[str, Any], axis: str, label: str) -> None:
    points = [point for point in growth["points"] if point["axis"] == axis]
    for colour, method in zip(_LINES, dict.fromkeys(point["method"] for point in points), strict=False):
        own = [point for point in points if point["method"] == method]
        axes.plot([p[axis.lower()] for p in own], [p["us"] for p in own], "o-", color=colour, label=method, ms=3)
    floors = {point[axis.lower()]: point["floor_us"] for point in points}
    axes.plot(list(floors), list(floors.values()), ":", color="black", label="floor: the pool read once")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(label)
