"""BPB% at time T: the envelope, the interpolation, its intervals, and what is not there."""

from __future__ import annotations

import numpy as np
import pytest

from paired_rows import budgets, row
from ttft_bench.report.paired import Outcome, bpb_at_times, split_rows
from ttft_bench.report.paired.at_time import _at
from ttft_bench.report.paired.markdown import time_lines
from ttft_bench.report.stats import settle

CURVES = {
    # (budget, BPB%, seconds of finetuning); select adds 0.1 s
    "slow": [(1, 95.0, 0.9), (5, 85.0, 2.9), (10, 90.0, 3.9), (20, 80.0, 4.9)],
    "fast": [(1, 94.0, 0.4), (5, 82.0, 1.4)],
}


def table(**changes):
    return bpb_at_times(settle(budgets(CURVES, noise=0.01)), [0.3, 0.5, 2.0, 4.0, 9.0], **changes)


def level(found, label, time):
    return found.at(label, time).bpb_pct.value


def test_it_interpolates_on_the_envelope_of_each_line_and_is_flat_beyond_it():
    found = table()
    mean = {
        (line.label, point.key.budget): (point.mean_s, point.bpb_pct) for line in found.lines for point in line.points
    }
    assert mean["slow", 5][0] == pytest.approx(3.0) and mean["slow", 1][0] == pytest.approx(1.0)
    left, right = mean["slow", 1][1], mean["slow", 5][1]
    assert level(found, "slow", 2.0) == pytest.approx((left + right) / 2)
    # N = 10 is slower and worse than N = 5: the envelope passes it by.
    assert level(found, "slow", 4.0) == pytest.approx((right + mean["slow", 20][1]) / 2)
    assert level(found, "slow", 9.0) == pytest.approx(mean["slow", 20][1])
    (slow,) = (line for line in found.lines if line.label == "slow")
    assert [(point.key.budget, point.on_frontier) for point in slow.points] == [
        (1, True),
        (5, True),
        (10, False),
        (20, True),
    ]


def test_a_time_that_no_setting_meets_is_named_and_shown_as_a_dash():
    found = table()
    cell = found.at("slow", 0.5)
    assert (cell.bpb_pct.value, cell.bpb_pct.outcome) == (None, Outcome.NOT_REACHED)
    assert found.at("fast", 0.5).bpb_pct.value is not None
    (line,) = (text for text in time_lines(found) if text.startswith("| slow"))
    assert line.split("|")[2].strip() == "–"


def test_a_setting_is_within_its_own_mean_time_however_its_seconds_round():
    for seed in range(40):
        draw = np.random.default_rng(seed)
        alone = [row("alone", p, 90.0, budget=2, finetune_s=draw.uniform(0.02, 0.04)) for p in range(6)]
        found = bpb_at_times(settle(alone))
        (time,) = found.times_s
        assert level(found, "alone", time) == pytest.approx(90.0), seed


def test_differences_are_paired_and_narrower_than_the_intervals_themselves():
    found = bpb_at_times(settle(budgets(CURVES)), [4.0], reference="slow")
    cell = found.at("fast", 4.0)
    assert found.at("slow", 4.0).difference is None
    assert cell.difference.value == pytest.approx(level(found, "fast", 4.0) - level(found, "slow", 4.0))
    own = cell.bpb_pct.high - cell.bpb_pct.low
    assert cell.difference.high - cell.difference.low < own / 2


def test_the_interpolation_agrees_with_the_definition():
    draw = np.random.default_rng(0)
    for _ in range(200):
        times, levels = draw.integers(1, 9, 6).astype(float), draw.integers(1, 9, 6).astype(float)
        at = float(draw.uniform(0, 10))
        frontier = sorted(
            {(t, b) for t, b in zip(times, levels, strict=True)}
            - {
                (t, b)
                for t, b in zip(times, levels, strict=True)
                for u, v in zip(times, levels, strict=True)
                if u <= t and v <= b and (u, v) != (t, b)
            }
        )
        known = [t for t, _ in frontier], [b for _, b in frontier]
        expected = np.nan if at < frontier[0][0] else np.interp(at, *known)
        assert float(_at(times, levels, at)) == pytest.approx(expected, nan_ok=True)


def test_many_draws_at_once_are_each_what_they_are_alone():
    draw = np.random.default_rng(1)
    times, levels = draw.uniform(1, 9, (50, 6)), draw.uniform(1, 9, (50, 6))
    together = _at(times, levels, 5.0)
    alone = [float(_at(t, b, 5.0)) for t, b in zip(times, levels, strict=True)]
    assert together == pytest.approx(alone, nan_ok=True)


def test_a_time_within_the_noise_of_the_fastest_setting_has_no_interval():
    data = [row("a", p, 80.0 + p % 5, finetune_s=1.0 + (p % 7)) for p in range(40)]
    mean = sum(r["finetune_s"] + r["select_s"] for r in data) / 40
    found = bpb_at_times(settle(data), [mean + 1e-9]).at("a", mean + 1e-9).bpb_pct
    assert found.value is not None and found.outcome is Outcome.UNSTABLE


def test_usual_times_lie_where_every_line_has_something():
    found = bpb_at_times(settle(budgets(CURVES)))
    assert len(found.times_s) == 5
    assert found.times_s[0] > 1.0 and found.times_s[-1] == pytest.approx(1.5)
    with_control = bpb_at_times(settle([*budgets(CURVES), *budgets({"control": [(20, 97.0, 8.0)]})]))
    assert with_control.times_s == pytest.approx(found.times_s), "a line of one setting has no say"
    assert all(cell.bpb_pct.value is not None for cell in found.cells)


def test_settings_with_few_prompts_are_left_out_by_name_and_single_failures_cost_one_prompt():
    data = budgets(CURVES)
    data = [r for r in data if not (r["strategy"] == "slow" and r["budget"] == 20 and r["prompt_id"] > "p010")]
    for r in data:
        if (r["strategy"], r["budget"], r["prompt_id"]) == ("fast", 1, "p000"):
            r["status"] = "failed"
    found = bpb_at_times(settle(data), [2.0])
    assert [(str(key), why) for key, why in found.left_out] == [
        ("slow (N = 20)", "measured 11 of 60 prompts with time and quality")
    ]
    assert found.n_prompts == 59
    assert "is not in the table" in "\n".join(time_lines(found))


def test_both_aggregates_can_be_asked_for():
    data = [row("a", p, 50.0 + 10 * p, bytes_scored=100 + 300 * p) for p in range(5)]
    mean = bpb_at_times(settle(data), [5.0]).at("a", 5.0).bpb_pct.value
    corpus = bpb_at_times(settle(data), [5.0], aggregate="corpus").at("a", 5.0).bpb_pct.value
    weights = np.array([r["bytes_scored"] for r in data])
    assert mean == pytest.approx(70.0)
    assert corpus == pytest.approx(np.average([r["bpb_pct"] for r in data], weights=weights))


@pytest.mark.parametrize(
    "data", [[], [row("a", 0, 80.0, status="failed")], [row("a", 0, 80.0, select_s=None)]], ids=len
)
def test_nothing_measured_is_an_empty_table(data):
    found = bpb_at_times(data, [1.0])
    assert found.n_prompts == 0 and all(cell.bpb_pct.value is None for cell in found.cells)


def test_one_prompt_has_a_figure_and_no_interval():
    found = bpb_at_times(settle([row("a", 0, 80.0)]), [5.0]).at("a", 5.0).bpb_pct
    assert (found.value, found.low, found.outcome) == (80.0, None, Outcome.ONE_PROMPT)


def test_tables_split_by_stratum():
    data = [row("a", p, 60.0 + 30 * (p % 2), stratum=("exact", "clean")[p % 2]) for p in range(8)]
    levels = {
        name: bpb_at_times(part, [5.0]).at("a", 5.0).bpb_pct.value
        for name, part in split_rows(settle(data), "stratum").items()
    }
    assert levels == {"exact": 60.0, "clean": 90.0}
