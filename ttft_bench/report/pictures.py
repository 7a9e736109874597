"""All figures as files, for papers and READMEs."""

from __future__ import annotations

from collections.abc import Sequence

from ttft_bench.report.charts import Chart
from ttft_bench.report.charts.paper import draw
from ttft_bench.report.figures import drawing_style, settle_layout, to_png, to_svg


def draw_files(charts: Sequence[Chart]) -> dict[str, bytes]:
    """File names under ``figures/`` with their content, PNG and SVG on white; figures without data have none."""
    found = {}
    with drawing_style():
        for chart in charts:
            if chart.panels:
                figure = draw(chart)
                settle_layout(figure)
                found[f"{chart.key}.png"] = to_png(figure)
                found[f"{chart.key}.svg"] = to_svg(figure, salt=chart.key)
    return found


__all__ = ["draw_files"]
