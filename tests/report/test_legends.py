"""Names in figures are whole, each entry is one of a kind, and legends leave the axes their room."""

from __future__ import annotations

from itertools import pairwise

import pytest

from paired_rows import budgets
from ttft_bench.report.charts import charts_of
from ttft_bench.report.charts.interactive import panel_specs
from ttft_bench.report.charts.model import Axis, Chart, Entry, Look, Panel, Points
from ttft_bench.report.charts.paper import draw
from ttft_bench.report.figures import LINE_CHARS, drawing_style, label
from ttft_bench.report.findings import find_in
from ttft_bench.report.palette import COLOURS
from ttft_bench.report.view import views

CURVE = [(1, 95.0, 1.0), (5, 85.0, 2.0)]
SHORT = [f"hullft[cap=0.5,integerize=greedy,ridge={ridge}]" for ridge in (0.01, 0.02)]
LONG = [name.replace("[", "[solver=fully-corrective,rounding=largest-remainder,") for name in SHORT]


@pytest.fixture(autouse=True)
def hardly_any_resamples(few_resamples, monkeypatch):
    """What intervals come to is of no account here."""
    monkeypatch.setattr("ttft_bench.report.paired.resample.N_RESAMPLES", 99)


def charts(rows):
    findings = find_in(rows, {})
    (view,) = views(rows, {}, findings)
    return {chart.key: chart for chart in charts_of(view)}


def legend_of(chart):
    """What the legend says, line breaks aside, as matplotlib has it."""
    with drawing_style():
        (legend,) = draw(chart).legends
    return ["".join(text.get_text().split()) for text in legend.get_texts()]


@pytest.mark.parametrize("names", [SHORT, LONG], ids=["short", "long"])
def test_settings_that_differ_in_their_last_parameter_have_entries_of_their_own(names):
    found = charts(budgets(dict.fromkeys(names, CURVE), n=12, residual=0.4, n_distinct=1))
    for key in ("quality_vs_time", "budget_curves", "selection_diagnostics"):
        chart = found[key]
        said = legend_of(chart)
        assert set(names) <= set(said) and len(set(said)) == len(said), key
        drawn = {trace["meta"] for spec in panel_specs(chart) for trace in spec["data"]} - {-1}
        wanted = [place for place, entry in enumerate(chart.legend) if entry.name in (*names, "frontier")]
        assert sorted(drawn) == wanted, "every button shows and hides its own"
    with drawing_style():
        (axes,) = draw(found["time_per_stage"]).axes
    assert len({text.get_text() for text in axes.get_yticklabels()}) == 2


def test_text_of_a_figure_is_broken_never_cut():
    assert label(SHORT[0], 36).splitlines() == [SHORT[0][:36], SHORT[0][36:]]
    assert label("a\x1b[b", 36) == r"a\x1b[b" and label("") == ""


def test_uses_of_the_picks_that_differ_at_their_end_are_told_apart():
    trained = [f"lora[r=8,alpha={alpha}]" for alpha in (16, 32)]
    rows = budgets({"knn": CURVE}, n=12)
    for trainable in trained:
        rows += budgets({"knn": CURVE}, n=12, arm="in-context+finetune", trainable=trainable, context_s=0.1)
    found = charts(rows)
    words = {f"in-context+finetune{trainable}" for trainable in trained}
    assert words <= set(legend_of(found["quality_vs_time"])) and words <= set(legend_of(found["treatments"]))


def test_a_marker_that_is_called_like_a_strategy_takes_none_of_its_lines():
    look = Look(COLOURS[0])
    marks = (Points("in-context", (1.0,), (2.0,), look),)
    chart = Chart(
        "k",
        "t",
        "",
        (Panel("", Axis(""), Axis(""), marks),),
        (Entry("in-context", look), Entry("in-context", look, "marker")),
    )
    assert panel_specs(chart)[0]["data"][0]["meta"] == 0


def test_subsets_whose_names_begin_alike_have_panels_of_their_own():
    start = "articles of an encyclopedia that were edited in "
    rows = [{**row, "subset": start + row["prompt_id"][-1]} for row in budgets({"a": CURVE, "b": CURVE}, n=12)]
    titles = [panel.title for panel in charts(rows)["budget_curves"].panels]
    assert len(titles) == len(set(titles)) == 11


@pytest.mark.parametrize(("n", "chars"), [(2, 10), (16, 60), (30, 60), (30, 2 * LINE_CHARS)])
def test_a_legend_takes_its_room_from_the_figure_not_from_the_axes(n, chars):
    look = Look(COLOURS[0])
    legend = tuple(Entry(f"{place:03d}".rjust(chars, "x"), look) for place in range(n))
    points = Points(legend[0].name, (1.0, 2.0), (1.0, 2.0), look, "line")
    with drawing_style():
        figure = draw(Chart("k", "title", "", (Panel("", Axis("x"), Axis("y"), (points,)),), legend))
        figure.draw_without_rendering()
        (axes,), (box,) = figure.axes, figure.legends
        width, height = figure.get_size_inches()
        assert axes.get_position().height * height > 3.5, "inches"
        extent = box.get_window_extent()
        assert extent.x0 >= 0 and extent.x1 <= width * figure.dpi
        assert extent.y0 >= 0 and extent.y1 <= axes.get_window_extent().y0


def test_names_of_many_lines_beside_an_axis_have_a_line_of_their_own_each():
    names = tuple(f"{name} and more of the same, N = 50" for name in (*LONG, *LONG))
    points = Points("", (1.0,), (1.0,), Look(COLOURS[0]))
    chart = Chart("k", "title", "", (Panel("", Axis("x"), Axis("", "category", categories=names), (points,)),))
    with drawing_style():
        figure = draw(chart)
        figure.draw_without_rendering()
        (axes,) = figure.axes
        boxes = sorted((text.get_window_extent().y0, text.get_window_extent().y1) for text in axes.get_yticklabels())
    assert all(below[1] <= above[0] for below, above in pairwise(boxes))
    (spec,) = panel_specs(chart)
    assert spec["layout"]["height"] > 96 + 34 * len(names)
