"""Published figures beside measured ones."""

from __future__ import annotations

import dataclasses

import pytest

from paired_rows import budgets, rows
from ttft_bench.report import _write
from ttft_bench.report.findings import find_in
from ttft_bench.report.findings_markdown import findings_markdown
from ttft_bench.report.published import beside_published, published_markdown
from ttft_bench.sweep.parts import Figure, Published


def manifest(*figures):
    published = Published("a paper | with <marks>", "one A100", tuple(figures))
    return {"suite": {"published": dataclasses.asdict(published)}, "plan": {"controls": ["random-corpus"]}}


def measure(figure, data):
    (table,) = beside_published(data, manifest(figure))
    (line,) = table.lines
    assert line.published == figure.value
    return line


def test_the_best_of_several_counts_and_controls_do_not():
    data = rows({"a": 80.0, "b": 90.0, "random-corpus": 10.0}, noise=0.0)
    level = measure(Figure("bpb_pct", ("a",), 74.5), data).measured.value
    best = measure(Figure("bpb_pct", ("*",), 74.5), data)
    assert best.measured.value == level and best.measured.setting.startswith("a (") and best.of == "any strategy"
    assert measure(Figure("bpb_pct", ("b",), 74.5), data).measured.value == pytest.approx(level + 10)
    assert measure(Figure("bpb_pct", ("c",), 74.5), data).measured is None
    part = measure(Figure("bpb_pct", ("a",), 1.0, subset="domain-1"), data).measured
    assert part.n_prompts == 20 and part.low < part.value < part.high


def test_budget_interval_and_grouping_choose_the_setting():
    data = rows({"a": 80.0}, noise=0.0, budget=50)
    data += rows({"a": 70.0}, noise=0.0, budget=20)
    data += rows({"a": 85.0}, noise=0.0, budget=50, reuse_interval=2)
    data += rows({"a": 95.0}, noise=0.0, budget=50, reuse_interval=2, reuse_grouping="global")
    data += rows({"a": 1.0}, noise=0.0, budget=50, reuse_interval=2, reuse_mode="skip")

    def at(**changes):
        return measure(Figure("bpb_pct", ("a",), 1.0, **changes), data).measured.value

    off = at(budget=50, reuse=1)
    assert at() == at(budget=20) == pytest.approx(off - 10)
    assert at(budget=50, reuse=2, grouping="runs") == pytest.approx(off + 5)
    assert at(budget=50, reuse=2, grouping="global") == pytest.approx(off + 15)


def test_bpb_at_a_time_is_that_of_the_frontier():
    data = budgets({"a": [(1, 90.0, 0.9), (10, 80.0, 1.9)]}, noise=0.0)
    early, later = (measure(Figure("bpb_pct", ("a",), 1.0, at_s=at), data).measured.value for at in (1.0, 1.5))
    assert early - later == pytest.approx(5.0)
    assert measure(Figure("bpb_pct", ("a",), 1.0, at_s=0.5), data).measured is None


def test_times_speedup_and_rise():
    data = rows({"a": 80.0}, noise=0.0, budget=50, finetune_s=3.0)
    data += rows({"a": 81.0}, noise=0.0, budget=50, finetune_s=2.0, reuse_interval=2)
    data += rows({"a": 60.0}, noise=0.0, budget=20, finetune_s=9.0)  # without a partner
    assert measure(Figure("finetune_speedup", ("a",), 1.48, reuse=2), data).measured.value == pytest.approx(1.5)
    assert measure(Figure("bpb_pct_rise", ("a",), 0.64, reuse=2), data).measured.value == pytest.approx(1.0)
    assert measure(Figure("total_s", ("a",), 1.0, budget=50, reuse=1), data).measured.value == pytest.approx(3.1)
    assert measure(Figure("select_s", ("a",), 1.0, budget=50), data).measured.value == pytest.approx(0.1)
    assert measure(Figure("finetune_speedup", ("a",), 1.0, reuse=3), data).measured is None


def test_a_speedup_never_divides_seconds_of_two_devices():
    data = rows({"a": 80.0}, n=60, device="slow", finetune_s=30.0)
    data += rows({"a": 80.0}, n=40, device="quick", finetune_s=3.0)
    data += rows({"a": 80.0}, n=40, device="quick", finetune_s=2.0, reuse_interval=2)
    found = measure(Figure("finetune_speedup", ("a",), 1.48, reuse=2), data).measured
    assert (found.value, found.n_prompts) == (pytest.approx(1.5), 40)


@pytest.mark.parametrize("changes", [{"lr": 1e-3}, {"trainable": "lora"}])
def test_figures_of_reuse_pair_learning_rates_and_trainable_sets(changes):
    data = rows({"a": 80.0}, noise=0.0, finetune_s=3.0)
    data += rows({"a": 81.0}, noise=0.0, finetune_s=2.0, reuse_interval=2)
    data += rows({"a": 70.0}, noise=0.0, finetune_s=9.0, **changes)  # without a partner
    assert measure(Figure("finetune_speedup", ("a",), 1.48, reuse=2), data).measured.value == pytest.approx(1.5)
    assert measure(Figure("bpb_pct_rise", ("a",), 0.64, reuse=2), data).measured.value == pytest.approx(1.0)


@pytest.mark.parametrize("quantity", ["bpb_pct", "total_s"])
def test_intervals_are_over_groups_which_siblings_do_not_narrow(quantity):
    data = rows({"a": 80.0}, n=20)
    for item in data:
        item |= {"group": item["prompt_id"], "finetune_s": item["bpb_pct"]}
    siblings = [{**item, "prompt_id": f"{item['prompt_id']}-{copy}"} for item in data for copy in range(10)]
    alone, many = (measure(Figure(quantity, ("a",), 1.0), part).measured for part in (data, siblings))
    assert (many.low, many.high) == (pytest.approx(alone.low), pytest.approx(alone.high)) and many.n_prompts == 200


def test_scopes_have_tables_of_their_own_and_the_page_escapes_names():
    data = rows({"a": 80.0}) + rows({"a": 70.0}, model="other|<b>")
    text = published_markdown(beside_published(data, manifest(Figure("bpb_pct", ("a",), 74.5, budget=10))))
    assert text.count("| BPB% | a, N = 10 | 74.5 |") == 2 and "<b>" not in text and "a paper \\| with" in text
    assert "published on one A100" in text


def test_the_readme_shows_those_of_true_embeddings(tmp_path, fake_run):
    data = rows({"a": 80.0}, n=6, noise=0.0) + rows({"a": 10.0}, n=6, noise=0.0, embedder="shuffled[tiny-embedder]")
    _write(fake_run(tmp_path, manifest(Figure("bpb_pct", ("a",), 74.48)), data), html=False)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert text.count("| 74.48 |") == 1 and "## Published and measured\n" in text


def test_statistics_show_them_and_a_run_without_any_shows_nothing():
    data = rows({"a": 80.0, "b": 81.0})
    found = find_in(data, manifest(Figure("bpb_pct", ("a",), 74.48)))
    assert "## Published and measured" in findings_markdown(found) and "| 74.48 |" in findings_markdown(found)
    assert found.to_json()["published"][0]["lines"][0]["published"] == 74.48
    for nothing in ({}, {"suite": {"published": None}}, {"suite": {"name": "old"}}):
        assert beside_published(data, nothing) == () and published_markdown(()) == ""
