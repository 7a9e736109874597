"""Statistics: known means and intervals, two ratios with two names, failures kept out, frontier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ttft_bench.report.analysis import analyse
from ttft_bench.report.groups import aggregate, estimate
from ttft_bench.report.metrics import COST, QUALITY, Metric, better_corner
from ttft_bench.report.pareto import frontier
from ttft_bench.report.plain import analysis_to_json
from ttft_bench.report.stats import spread, total_seconds
from ttft_bench.report.summary import notes

Make = Callable[..., Any]


def enumerate_prompts(values: list[float]) -> dict[str, float]:
    return {f"p{place}": value for place, value in enumerate(values)}


def test_mean_and_interval_are_those_of_a_bootstrap_over_prompts() -> None:
    values = [80.0, 85.0, 90.0, 95.0, 100.0, 84.0, 91.0, 88.0]
    found = estimate(enumerate_prompts(values))
    assert found is not None and found.low is not None and found.high is not None
    assert found.mean == pytest.approx(np.mean(values))
    draws = np.random.default_rng(1).choice(values, size=(20_000, len(values))).mean(axis=1)
    # Bias-corrected and accelerated: near the plain quantiles, a little shifted towards the longer tail.
    assert found.low == pytest.approx(np.quantile(draws, 0.025), abs=0.8)
    assert found.high == pytest.approx(np.quantile(draws, 0.975), abs=0.8)


def test_prompts_of_one_group_are_drawn_together() -> None:
    quality = enumerate_prompts([80.0, 81.0, 90.0, 91.0, 85.0, 86.0, 95.0, 96.0, 88.0, 89.0])
    alone, grouped = estimate(quality), estimate(quality, {prompt: str(int(prompt[1:]) // 2) for prompt in quality})
    assert alone is not None and grouped is not None and alone.mean == grouped.mean
    assert grouped.high is not None and grouped.low is not None and alone.high is not None and alone.low is not None
    assert grouped.high - grouped.low > alone.high - alone.low


def test_interval_does_not_depend_on_or_touch_the_global_generator() -> None:
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # type: ignore[index,union-attr]  # noqa: NPY002
    quality = enumerate_prompts([1.0, 2.0, 4.0, 5.0, 9.0])
    assert estimate(quality) == estimate(quality)
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index,union-attr]  # noqa: NPY002


def test_interval_does_not_depend_on_the_order_of_rows(make_cell: Make) -> None:
    rows = [make_cell(prompt=p, pct=80 + 3.0 * p) for p in range(5)]
    assert aggregate(rows) == aggregate(rows[::-1])


def test_one_prompt_has_a_mean_and_no_interval() -> None:
    found = estimate({"p": 90.0})
    assert found is not None
    assert (found.mean, found.low, found.high, found.n) == (90.0, None, None, 1)


def test_equal_values_give_an_interval_of_no_width() -> None:
    found = estimate(enumerate_prompts([90.0] * 5))
    assert found is not None
    assert (found.low, found.high) == (90.0, 90.0)


def test_corpus_ratio_and_mean_ratio_differ_and_are_named_apart(make_cell: Make) -> None:
    rows = [
        make_cell(prompt=0, pct=50.0, bpb_before=1.0, bytes_scored=100),
        make_cell(prompt=1, pct=100.0, bpb_before=2.0, bytes_scored=900),
    ]
    (group,) = aggregate(rows)
    assert group.bpb is not None
    assert group.bpb.mean == pytest.approx(75.0)
    assert group.bpb_pct_corpus == pytest.approx(100 * (0.5 * 100 + 2.0 * 900) / (1.0 * 100 + 2.0 * 900))
    (plain,) = analysis_to_json(analyse(rows, {}))["groups"]
    assert plain["bpb_pct_mean"] == pytest.approx(75.0)
    assert plain["bpb_pct_corpus"] == group.bpb_pct_corpus


def test_corpus_ratio_is_missing_rather_than_partial(make_cell: Make) -> None:
    (group,) = aggregate([make_cell(prompt=0), make_cell(prompt=1, bytes_scored=None)])
    assert group.bpb is not None and group.bpb.n == 2
    assert group.bpb_pct_corpus is None


@pytest.mark.parametrize("status", ["failed", "oom", "skipped", "timeout", "interrupted"])
def test_rows_that_did_not_succeed_are_counted_and_never_averaged(make_cell: Make, status: str) -> None:
    rows = [make_cell(prompt=0, pct=90.0), make_cell(prompt=1, pct=10.0, status=status, reason="why")]
    analysis = analyse(rows, {})
    (group,) = analysis.groups
    assert group.bpb is not None and group.bpb.mean == 90.0
    assert group.statuses == {"ok": 1, status: 1}
    (failure,) = analysis.failures
    assert (failure.status, failure.reason, failure.count) == (status, "why", 1)


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
def test_an_ok_row_without_a_finite_figure_is_a_failure(make_cell: Make, bad: float | None) -> None:
    analysis = analyse([make_cell(prompt=0), make_cell(prompt=1, bpb_pct=bad)], {})
    (group,) = analysis.groups
    assert group.bpb is not None and group.bpb.n == 1
    assert group.statuses == {"ok": 1, "not finite": 1}
    assert "finite" in analysis.failures[0].reason


def test_several_seeds_of_one_prompt_count_as_one_prompt(make_cell: Make) -> None:
    rows = [
        make_cell(prompt=0, pct=80.0, seed=0),
        make_cell(prompt=0, pct=90.0, seed=1),
        make_cell(prompt=1, pct=95.0),
    ]
    (group,) = aggregate(rows)
    assert group.bpb is not None
    assert (group.bpb.mean, group.bpb.n) == (90.0, 2)


def test_total_is_what_a_user_waits_for(make_cell: Make) -> None:
    assert total_seconds(make_cell(select_s=0.25, finetune_s=2.0, embed_s=9.0, score_s=9.0)) == 2.25
    assert total_seconds(make_cell(select_s=None)) is None


def test_total_is_the_median_of_totals_not_the_sum_of_medians(make_cell: Make) -> None:
    times = [(1.0, 10.0), (2.0, 1.0), (9.0, 2.0)]
    (group,) = aggregate([make_cell(prompt=p, select_s=s, finetune_s=f) for p, (s, f) in enumerate(times)])
    assert group.value(COST) == 11.0
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == group.times["select_s"].__class__(3.0, 2.0, 4.0)


def test_settings_are_ordered_by_name_with_controls_last(make_cell: Make) -> None:
    names = ["sift", "aaa-control", "hullft"]
    analysis = analyse([make_cell(name) for name in names], {"plan": {"controls": ["aaa-control"]}})
    assert [group.key.strategy for group in analysis.groups] == ["hullft", "sift", "aaa-control"]
    assert [group.control for group in analysis.groups] == [False, False, True]


def test_the_control_is_known_without_a_manifest_and_never_best_or_on_the_frontier(make_cell: Make) -> None:
    analysis = analyse([make_cell("random-corpus", pct=10.0), make_cell("knn", pct=90.0)], {})
    assert analysis.control is not None and analysis.control.key.strategy == "random-corpus"
    assert analysis.best is not None and analysis.best.key.strategy == "knn"
    assert [group.key.strategy for group in analysis.frontier] == ["knn"]


def test_a_group_that_misses_the_hard_prompt_is_not_compared(make_cell: Make) -> None:
    rows = [make_cell("whole", prompt=p, pct=90.0 + 5 * p) for p in range(2)]
    rows += [make_cell("flattered", prompt=0, pct=90.0), make_cell("flattered", prompt=1, status="oom")]
    analysis = analyse(rows, {})
    assert [group.key.strategy for group in analysis.comparable] == ["whole"]
    assert analysis.best is not None and analysis.best.key.strategy == "whole"
    assert [analysis.coverage(group) for group in analysis.groups] == ["1/2", "2"]


def test_the_frontier_keeps_what_nothing_beats() -> None:
    points = [("slow-good", 9.0, 80.0), ("fast-poor", 1.0, 95.0), ("beaten", 9.5, 81.0), ("twin", 9.0, 80.0)]
    assert frontier(points) == ["fast-poor", "slow-good", "twin"]
    assert frontier([("same-time-worse", 1.0, 96.0), ("a", 1.0, 95.0)]) == ["a"]
    assert frontier([("same-quality-slower", 2.0, 95.0), ("a", 1.0, 95.0)]) == ["a"]
    assert frontier([]) == []


def test_nothing_worse_than_the_untouched_model_is_on_the_frontier() -> None:
    assert frontier([("harmful", 1.0, 101.0), ("useless", 2.0, 100.0), ("good", 3.0, 99.0)]) == ["good"]


def test_the_frontier_follows_the_direction_of_its_metrics() -> None:
    accuracy = Metric("accuracy", "accuracy", "%", "higher")
    points = [("a", 1.0, 10.0), ("b", 2.0, 30.0), ("c", 3.0, 20.0)]
    assert frontier(points, COST, accuracy, reference=None) == ["a", "b"]
    assert better_corner(COST, QUALITY) == "lower left is better"
    assert better_corner(COST, accuracy) == "upper left is better"


def test_frontier_agrees_with_the_definition() -> None:
    draw = np.random.default_rng(3)
    points = [(i, float(x), float(y)) for i, (x, y) in enumerate(draw.integers(1, 12, size=(60, 2)))]
    beaten = {i for i, x, y in points for _, u, v in points if u <= x and v <= y and (u, v) != (x, y)}
    assert sorted(frontier(points)) == sorted({i for i, _, _ in points} - beaten)


def test_mixed_pools_are_told_and_a_control_on_random_ones_is_no_mixture(make_cell: Make) -> None:
    control = make_cell("random-corpus", pool_source="random", excluded="")
    embedding, words = (make_cell(pool_source=source, excluded="") for source in ("embedding", "bm25"))
    assert analyse([embedding, words, control], {}).mixed == {"pool_source": ("bm25", "embedding")}
    without = {**embedding, "excluded": "near-duplicates[0.8]"}
    assert analyse([embedding, without], {}).mixed == {"excluded": ("near-duplicates[0.8]", "nothing")}
    assert not analyse([embedding, control, make_cell(pool_source="nearest", excluded="")], {}).mixed


def test_machines_that_variants_mix_are_told(make_cell: Make) -> None:
    places = ({"device": "cpu", "lanes": 1}, {"device": "cuda", "lanes": 8})
    rows = [make_cell(pool_k=k, **place) for k in (50, 200) for place in places]
    analysis = analyse(rows, {"variants": ["small", "usual"]})
    assert analysis.mixed == {"device": ("cpu", "cuda"), "lanes": ("1", "8")}
    assert {group.key.strategy for group in analysis.groups} == {"hullft {pool_k=50}", "hullft {pool_k=200}"}
    assert "Rows differ in device (cpu, cuda)" in notes(analysis)[0]


def test_mixed_protocols_are_told(make_cell: Make) -> None:
    analysis = analyse([make_cell(prompt=0), make_cell(prompt=1, bpb_protocol="document")], {})
    assert analysis.mixed == {"bpb_protocol": ("document", "window")}
