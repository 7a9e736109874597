"""Figures of the questions: rank correlations, and treatments at equal times."""

from __future__ import annotations

from ttft_bench.report import format as fmt
from ttft_bench.report.charts.model import Axis, Chart, Entry, Look, Panel, Points, Rule
from ttft_bench.report.charts.words import entry_name, limits, log_seconds, told
from ttft_bench.report.figures import INK
from ttft_bench.report.metrics import QUALITY
from ttft_bench.report.palette import COLOURS, LINE_STYLES
from ttft_bench.report.questions.residual import NEGLIGIBLE_RHO
from ttft_bench.report.view import View


def correlations(view: View) -> Chart:
    """Question 1: each correlation with its interval."""
    title = "What goes with a larger gain: rank correlations within prompts"
    found = [item for item in view.found.residual.correlations if item.mean.value is not None]
    if not found:
        missing = "No prompt has five different selections at one budget, which a rank correlation takes."
        return Chart("correlations", title, "", missing=missing)
    names = tuple(item.name for item in found)
    points = Points(
        "",
        tuple(item.mean.value or 0.0 for item in found),
        tuple(map(float, range(len(found)))),
        Look(COLOURS[0], size=7),
        x_limits=tuple(limits(item.mean) for item in found),
        hover=tuple((item.name, f"rho {told(item.mean)}", fmt.plural(len(item.prompts), "prompt")) for item in found),
    )
    zero = Rule("x", 0.0, Look(INK, "-", "", 0.6, 1.0), span=(-NEGLIGIBLE_RHO, NEGLIGIBLE_RHO))
    axis = Axis("Spearman's rho, mean over prompts", limits=(-1.0, 1.0))
    panel = Panel("", axis, Axis("", "category", categories=names), (zero, points))
    caption = (
        "Gain: 100 − BPB%. Spearman's rho is 1 where two quantities rise together, −1 where one falls as the other "
        "rises, 0 where they are unrelated; left of 0, a smaller residual goes with a larger gain. Bars are 95 % "
        f"intervals over groups of prompts. Grey: within ±{NEGLIGIBLE_RHO}, as good as none."
    )
    return Chart("correlations", title, caption, (panel,))


def treatments(view: View) -> Chart:
    """Question 2: what each use of the picks reaches within a time."""
    title = "What to do with the picks: BPB% at equal time, lower is better"
    table, apart = view.found.worth.table, view.found.worth.apart
    marks, legend = [], []
    for place, line in enumerate(table.lines):
        cells = [table.at(line.label, time) for time in table.times_s]
        reached = [cell for cell in cells if cell.bpb_pct.value is not None]
        if not reached:
            continue
        dash = LINE_STYLES[(place // len(COLOURS)) % len(LINE_STYLES)]
        look = Look(COLOURS[place % len(COLOURS)], dash)
        name = entry_name(line.label)
        legend.append(Entry(name, look))
        marks.append(
            Points(
                name,
                tuple(cell.time_s for cell in reached),
                tuple(cell.bpb_pct.value or 0.0 for cell in reached),
                look,
                "line",
                y_limits=tuple(limits(cell.bpb_pct) for cell in reached),
                hover=tuple((name, f"BPB% {told(cell.bpb_pct)} at {fmt.seconds(cell.time_s)}") for cell in reached),
            )
        )
    if not marks:
        missing = "No strategy was tried with every use of the picks." if apart else ""
        missing = missing or "No use of the picks has both a quality and a time."
        return Chart("treatments", title, "", missing=missing)
    axis = log_seconds("time per prompt", table.times_s)
    panel = Panel("", axis, Axis(QUALITY.axis_title), tuple(marks))
    caption = (
        "Each use of the picks on its own frontier over strategies, budgets and reuse settings, interpolated at equal "
        "times, with 95 % BCa bootstrap intervals over groups. Only strategies that every use was tried with take part."
    )
    if apart:
        caption += f" Not shown, without a strategy in common with the others: {', '.join(map(entry_name, apart))}."
    return Chart("treatments", title, caption, (panel,), tuple(legend))


__all__ = ["correlations", "treatments"]
