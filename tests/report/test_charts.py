"""Figures as data: they show what was computed, both hands can draw them, and no name becomes markup."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from paired_rows import budgets
from ttft_bench.report.analysis import Analysis
from ttft_bench.report.charts import Chart, charts_of
from ttft_bench.report.charts.interactive import SYMBOLS, panel_specs
from ttft_bench.report.charts.model import Axis, Band, Bars, Look, Panel, Points, Rule
from ttft_bench.report.charts.paper import draw
from ttft_bench.report.charts.words import budget_axis, log_seconds, wrapped
from ttft_bench.report.figures import drawing_style, settle_layout
from ttft_bench.report.findings import find_in
from ttft_bench.report.metrics import COST, STAGES
from ttft_bench.report.palette import COLOURS, MARKERS
from ttft_bench.report.pictures import draw_files
from ttft_bench.report.view import View, views

Make = Callable[..., Any]

KEYS = [
    "quality_vs_time",
    "time_per_stage",
    "budget_curves",
    "forest",
    "strata",
    "selection_diagnostics",
    "correlations",
    "treatments",
]


def one_view(rows: list[dict[str, Any]], manifest: dict[str, Any] | None = None) -> View:
    findings = find_in(rows, manifest or {}, by="stratum" if any(row.get("stratum") for row in rows) else "all")
    (view,) = views(rows, manifest or {}, findings)
    return view


def charts(view: View) -> dict[str, Chart]:
    return {chart.key: chart for chart in charts_of(view)}


@pytest.fixture(scope="module")
def view() -> View:
    curves = {"a": [(1, 95.0, 1.0), (5, 85.0, 2.0)], "b": [(1, 94.0, 1.2), (5, 88.0, 2.2)]}
    rows = budgets(curves, n=18, residual=0.4, n_distinct=1, gap=1e-6, embed_s=0.1, retrieve_s=0.01)
    for place, row in enumerate(rows):
        row.update(stratum=("clean", "near")[place % 2], residual=0.4 + 0.01 * (place % 7))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ttft_bench.report.paired.resample.N_RESAMPLES", 199)
        return one_view([*rows, *budgets({"random-corpus": [(5, 97.0, 2.1)]}, n=18)])


def points(chart: Chart) -> list[Points]:
    return [mark for panel in chart.panels for mark in panel.marks if isinstance(mark, Points)]


def test_there_is_every_figure_and_each_says_which_way_is_better_or_why_it_is_empty(view: View) -> None:
    found = charts(view)
    assert list(found) == KEYS
    for chart in found.values():
        assert chart.panels or chart.missing.endswith(".")
    for key in ("quality_vs_time", "budget_curves", "forest", "strata", "treatments"):
        assert "better" in found[key].title


def test_the_stairs_are_the_frontier_and_carry_budgets(view: View) -> None:
    chart = charts(view)["quality_vs_time"]
    (stairs,) = [mark for mark in points(chart) if mark.joined == "stairs"]
    frontier = sorted((group.value(COST), group.bpb.mean) for group in view.timed.frontier if group.bpb)
    assert list(zip(stairs.x, stairs.y, strict=True)) == frontier
    labelled = {(mark.x, mark.labels) for mark in points(chart) if mark.labels}
    assert sorted(x for xs, _ in labelled for x in xs) == [x for x, _ in frontier]
    bold = {look.opacity for mark in points(chart) if mark.labels for look in [mark.look]}
    faint = {mark.look.opacity for mark in points(chart) if mark.joined == "line"}
    assert bold == {1.0} and max(faint) < 0.5
    assert chart.panels[0].x.scale == "log"


def test_the_control_is_a_line_with_its_interval_and_no_point(view: View) -> None:
    chart = charts(view)["quality_vs_time"]
    rules = {mark.text: mark for mark in chart.panels[0].marks if isinstance(mark, Rule)}
    (control,) = [rule for text, rule in rules.items() if "random-corpus" in text]
    assert control.at == pytest.approx(view.analysis.control.bpb.mean) and control.span is not None  # type: ignore[union-attr]
    assert "random-corpus" not in {mark.entry for mark in points(chart)}
    assert rules["untouched model"].at == 100.0


def test_the_untouched_model_has_one_line_and_controls_close_to_each_other_share_a_name() -> None:
    curves = {"a": [(1, 95.0, 1.0), (5, 85.0, 2.0)], "b": [(1, 94.0, 1.2), (5, 88.0, 2.2)]}
    close = {"random-corpus": [(5, 93.0, 2.1)], "twin": [(5, 92.9, 2.1)], "far": [(5, 87.0, 2.1)]}
    rows = [*budgets(curves, n=18), *budgets(close, n=18), *budgets({"none": [(0, 100.0, 0.1)]}, n=18, arm="none")]
    view = one_view(rows, {"plan": {"controls": ["random-corpus", "twin", "far", "none"]}})
    rules = [mark for mark in charts(view)["quality_vs_time"].panels[0].marks if isinstance(mark, Rule)]
    assert len(rules) == 4 and sum(rule.at == 100.0 for rule in rules) == 1
    said = [rule.text for rule in rules if rule.text]
    assert said == ["untouched model", "random-corpus, N = 5; twin, N = 5", "far, N = 5"]
    assert [rule.text for rule in rules if rule.span] == [said[1]], "one interval: that of the control in the summary"


def test_a_budget_is_written_once_at_its_best_point() -> None:
    curves = {"a": [(1, 95.0, 1.0), (5, 85.0, 2.0)], "b": [(1, 94.0, 1.2), (5, 84.0, 2.2)]}
    chart = charts(one_view(budgets(curves, n=18)))["quality_vs_time"]
    said = [
        (mark.entry, x, text) for mark in points(chart) for x, text in zip(mark.x, mark.labels, strict=False) if text
    ]
    assert [(entry, text) for entry, _, text in said] == [("b", "1"), ("b", "5")]
    assert sum(bool(mark.labels) for mark in points(chart)) == 2, "all four are on the frontier, and bold"


def test_a_gap_axis_of_many_decades_has_few_ticks() -> None:
    rows = budgets({"a": [(1, 95.0, 1.0), (5, 85.0, 2.0)]}, n=12, gap=1e-12)
    for place, row in enumerate(rows):
        row["gap"] = 10.0 ** -(place % 12)
    (panel,) = [panel for panel in charts(one_view(rows))["selection_diagnostics"].panels if "gap" in panel.title]
    low, high = panel.y.limits or (0.0, 0.0)
    assert 3 <= len(panel.y.ticks) <= 7 and low <= panel.y.ticks[0] and panel.y.ticks[-1] == high


def test_bars_add_up_to_all_stages_of_the_largest_budget(view: View) -> None:
    chart = charts(view)["time_per_stage"]
    bars = [mark for mark in chart.panels[0].marks if isinstance(mark, Bars)]
    largest = [series.largest for series in view.timed.series]
    for place, group in enumerate(largest):
        expected = sum(group.times[stage.key].median for stage in STAGES if stage.key in group.times)
        assert sum(mark.widths[place] for mark in bars) == pytest.approx(expected)
    assert "read context" not in {mark.entry for mark in bars}, "no setting read one"


def test_each_subset_has_a_panel_with_bands(view: View) -> None:
    chart = charts(view)["budget_curves"]
    assert [panel.title for panel in chart.panels] == ["all prompts", "domain-0", "domain-1", "domain-2"]
    for panel in chart.panels:
        (a,) = [mark for mark in panel.marks if isinstance(mark, Points) and mark.entry == "a"]
        bands = [mark for mark in panel.marks if isinstance(mark, Band)]
        # Eight prompts of a subset are from at least five groups: every line has its band.
        assert len(bands) == 2 and a.x == (1.0, 5.0)
        assert all(low <= mean <= high for low, mean, high in zip(bands[0].low, a.y, bands[0].high, strict=True))


def test_the_forest_shows_the_paired_differences_all_prompts_last(view: View) -> None:
    chart = charts(view)["forest"]
    forest = next(item for item in view.found.forests if item.setting.strategy == "b")
    panel = next(panel for panel in chart.panels if panel.title.startswith("b, N = 5"))
    shown = {y: x for mark in panel.marks if isinstance(mark, Points) for x, y in zip(mark.x, mark.y, strict=True)}
    expected = {place: line.comparison.difference.value for place, line in enumerate(forest.lines)}
    assert shown == expected and panel.y.categories[-1] == "all prompts"


def test_strata_share_one_scale_and_say_how_many_prompts(view: View) -> None:
    chart = charts(view)["strata"]
    assert {panel.title.partition(",")[0] for panel in chart.panels} == {"near", "clean"}
    assert len({panel.x.limits for panel in chart.panels}) == 1


def test_prompts_of_which_nothing_was_learned_are_drawn(make_cell: Make) -> None:
    rows = [make_cell("knn", prompt, 100.0, stratum="clean") for prompt in range(6)]
    made = charts(one_view(rows))
    low, high = made["strata"].panels[0].x.limits or (0.0, 0.0)
    assert low < 100.0 < high
    assert "strata.png" in draw_files(list(made.values())), "without a warning, which would be an error here"


def test_a_use_of_the_picks_that_shares_no_strategy_is_named_not_drawn() -> None:
    curve = [(5, 88.0, 2.9)]
    rows = [*budgets({"a": curve}, n=12), *budgets({"b": curve}, n=12, arm="in-context", trainable="", lr=None)]
    chart = charts(one_view(rows))["treatments"]
    assert [entry.name for entry in chart.legend] == ["finetune"]
    assert "without a strategy in common with the others: in-context" in chart.caption


def test_a_run_without_strata_says_what_that_means(make_cell: Make) -> None:
    chart = charts(one_view([make_cell("knn", prompt) for prompt in range(6)]))["strata"]
    assert not chart.panels and "near-duplicates may account for part of every gain" in chart.missing


def test_every_panel_is_a_figure_that_plotly_knows(view: View) -> None:
    for chart in charts_of(view):
        for spec in panel_specs(chart):
            json.dumps(spec, allow_nan=False)
            text = json.dumps(spec)
            for name in ("ink", *(f"c{place}" for place in range(8))):
                for opacity in ('"', "/0.13", "/0.8", "/0.7", "/0.6", "/0.08", "/0.5"):
                    text = text.replace(f'"--{name}{opacity}' + ("" if opacity == '"' else '"'), '"#123456"')
            assert '"--' not in text
            figure = go.Figure(**json.loads(text))  # refuses what plotly does not know
            assert len(figure.data) == len(spec["data"])


def test_markers_are_the_same_in_both_hands() -> None:
    assert set(SYMBOLS) == set(MARKERS)


def test_names_are_escaped_for_plotly_and_drawn_by_matplotlib(make_cell: Make) -> None:
    evil = "<a href='javascript:1'>x</a>&%{y}$\\frac{"
    rows = [make_cell(evil, prompt, 90.0 + prompt, budget=n, subset=evil) for prompt in range(6) for n in (1, 4)]
    rows += [make_cell("knn", prompt, 91.0 + prompt, budget=n, subset="s") for prompt in range(6) for n in (1, 4)]
    own = charts_of(one_view(rows))
    text = json.dumps([spec for chart in own for spec in panel_specs(chart)], ensure_ascii=False)
    assert "<a " not in text and "&lt;a href=" in text.replace("<br>", " ")
    for chart in own:
        for spec in panel_specs(chart):
            # A name is data of a template, never the template.
            assert {trace.get("hovertemplate", "") for trace in spec["data"]} <= {"", "%{customdata}<extra></extra>"}
    assert all(content for content in draw_files(own).values())


def test_figures_without_data_have_no_files(make_cell: Make) -> None:
    rows = [make_cell("knn", prompt, None, status="failed", n_distinct=None) for prompt in range(2)]
    assert draw_files(charts_of(one_view(rows))) == {}


def test_ticks_leave_room_for_each_other() -> None:
    axis = budget_axis(range(1, 51))
    assert axis.scale == "log" and len(axis.ticks) <= 9 and axis.ticks[-1] == 50.0
    assert budget_axis([4]).ticks == (4.0,)
    assert {0.1, 0.2, 0.5, 1.0} <= {round(tick, 6) for tick in log_seconds("t", [0.11, 0.9]).ticks}
    assert len(log_seconds("t", [1e-4, 10.0]).ticks) < 9
    assert wrapped("hullft[solver=corrective], N = 50", "|", 28) == "hullft[solver=corrective],|N\u00a0=\u00a050"


def test_times_of_another_device_stay_out_of_the_frontier() -> None:
    rows = [*budgets({"a": [(1, 90.0, 1.0)]}, n=12, device="one"), *budgets({"b": [(1, 80.0, 9.0)]}, n=8, device="two")]
    findings = find_in(rows, {}, across_devices=True)
    (view,) = views(rows, {}, findings, across_devices=True)
    assert isinstance(view.timed, Analysis)
    assert {group.key.strategy for group in view.timed.groups} == {"a"}
    assert {group.key.strategy for group in view.analysis.groups} == {"a", "b"}


@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize("with_bars", [True, False])
def test_a_single_place_has_room_on_both_sides(scale: Any, with_bars: bool):
    # 0.0041... was measured: there the bar's way through a transform and back made an axis too short to be drawn.
    measured = [0.004102787190678562, *np.random.default_rng(0).uniform(1e-5, 300.0, 30).tolist()]
    with drawing_style():
        for place in measured:
            mark = Points("a", (place,), (99.9,), Look(COLOURS[0]), y_limits=((None, None),) if with_bars else ())
            panel = Panel("", Axis("", scale, ticks=(place,) if scale == "log" else ()), Axis(""), (mark,))
            figure = draw(Chart("k", "title", "", (panel,)))
            settle_layout(figure)
            (axes,) = figure.axes
            for value, (low, high) in ((place, axes.get_xlim()), (99.9, axes.get_ylim())):
                assert low < 0.96 * value and 1.04 * value < high < 1.2 * value
