"""The figures of a report, each described once as data and drawn by two hands: the page's and the papers'."""

from __future__ import annotations

from ttft_bench.report.charts.answers import correlations, treatments
from ttft_bench.report.charts.budgets import budget_curves
from ttft_bench.report.charts.diagnostics import selection_diagnostics
from ttft_bench.report.charts.forest import forest
from ttft_bench.report.charts.frontier import quality_vs_time
from ttft_bench.report.charts.model import Chart
from ttft_bench.report.charts.stages import time_per_stage
from ttft_bench.report.charts.strata import strata
from ttft_bench.report.view import View


def charts_of(view: View) -> tuple[Chart, ...]:
    """Every figure of a scope, in the order of the page."""
    return (
        quality_vs_time(view),
        time_per_stage(view),
        budget_curves(view),
        forest(view),
        strata(view),
        selection_diagnostics(view),
        correlations(view),
        treatments(view),
    )


__all__ = ["Chart", "charts_of"]
