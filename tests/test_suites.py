"""The suites that come with ttft-bench: they load, plan, cost what they say, and are what other files say of them."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from pathlib import Path

import pytest

from pile_shards import SUBSETS, write_pile
from reporters import Log
from ttft_bench.engine import model as engine_model
from ttft_bench.registry import FALSIFIERS, SUITES, entries, files
from ttft_bench.report.questions import read_falsifiers
from ttft_bench.report.questions.evaluate import matches
from ttft_bench.sweep.catalogue import list_suites, markdown
from ttft_bench.sweep.cost import cost_of, duration
from ttft_bench.sweep.plan import make_jobs
from ttft_bench.sweep.rates import CPU, GPU, MEAN_TOKENS, RATES, rate_of
from ttft_bench.sweep.request import Request
from ttft_bench.sweep.run import plan_run
from ttft_bench.sweep.suite import load_suite, read_suite
from ttft_bench.sweep.variants import requests

ROOT = Path(__file__).parents[1]
NAMES = sorted(item.name for item in entries(SUITES) if item.built_in)
ON_MINIPILE = [name for name in NAMES if not name.startswith("paper-")]
CLAIMS = [claim for file in files(FALSIFIERS, pytest.fail) for claim in read_falsifiers(file)]


def test_every_suite_file_is_installed_under_its_name():
    there = {path.stem for path in (ROOT / "benchmarks" / "ttft_suites").glob("*.toml")} - {"falsifiers"}
    assert there == set(NAMES), "run make install after a change of entry points"
    assert all(load_suite(name).name == name for name in NAMES)


def test_suites_say_what_they_are_for_and_what_they_cost():
    for item in list_suites():
        assert item.suite and item.cost and not item.problem, f"{item.name}: {item.problem}"
        assert item.suite.purpose and item.suite.answers and item.leak_control and item.pool_sources
        assert item.cost.cells > 0 and item.cost.cpu_s and item.cost.gpu_s and item.cost.sources


def test_the_table_of_the_documentation_is_made_from_the_suites():
    page = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"<!-- suites:begin -->\n(.*?)<!-- suites:end -->", page, re.DOTALL)
    built_in = [item for item in list_suites() if item.name in NAMES]
    assert table == markdown(built_in), "put the output of `ttft-bench suites --markdown` there"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_falsifier_is_decided_by_runs_of_the_suite_it_names(claim):
    suite = load_suite(claim.suite)
    runs = [run for _, run in suite.runs()]
    for run in runs:
        jobs = make_jobs(run)
        labels = [job.label for job in jobs]
        for pattern in (claim.subject, *claim.rivals):
            assert any(matches(label, pattern) for label in labels), f"{claim.suite} does not run {pattern}"
        subject = next(job for job in jobs if job.label == claim.subject)
        rivals = [job for job in jobs if any(matches(job.label, pattern) for pattern in claim.rivals)]
        assert all(set(subject.budgets) & set(rival.budgets) for rival in rivals)
        if claim.kind == "equal-time":
            assert all(len(job.budgets) > 1 for job in (subject, *rivals)), "a line of one point has no frontier"
        if claim.mode:
            assert {"cached", claim.mode} <= set(run.select.reuse_mode) and max(run.select.reuse) > 1
        if claim.vary == "stratum":
            assert not run.pool.exclude_near_duplicates, "there must be something to leave out"
        assert run.corpus.prompts_per_subset * len(run.corpus.subsets) >= 30
    if claim.vary == "embedder":
        assert len({run.pool.embedder for run in runs if not run.pool.embedder.startswith("shuffled[")}) > 1
    if claim.vary == "model":
        assert "another --model, merged" in suite.answers, "one run has one model: the suite says how to get two"


@pytest.mark.real
@pytest.mark.parametrize("name", ON_MINIPILE)
def test_suites_on_minipile_can_be_planned(name, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_model, "model_fingerprint", _fingerprint)
    cost = cost_of(load_suite(name))
    plans = [
        plan_run(Request(part.suite, tmp_path, device="cpu"), Log())
        for _, part in requests(Request(load_suite(name), tmp_path))
    ]
    cells = [cell for plan in plans for cell in plan.cells]
    assert len({cell.cell_id for cell in cells}) == len(cells), "variants must not repeat each other"
    # lint-rules has one prompt less than the other domains.
    assert 0.9 * cost.cells <= len(cells) <= cost.cells
    assert cost.prompts - 1 <= plans[0].n_prompts <= cost.prompts


_fingerprint = functools.cache(engine_model.model_fingerprint)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("paper-")])
def test_suites_on_the_pile_can_be_planned_on_a_local_shard(
    name, tmp_path, monkeypatch, tiny_model_dir, tiny_embedder_dir
):
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path / "cache"))
    folder = write_pile(tmp_path / "pile", train=20, test=12)
    suite = load_suite(name)
    assert len(suite.corpus.subsets) == 12 and suite.corpus.prompts_per_subset == 150 and suite.pool.k == 200
    small = (
        suite.with_changes("corpus", source=f"pile:{folder}", subsets=SUBSETS)
        .with_changes("pool", embedder=str(tiny_embedder_dir))
        .with_changes("model", name=str(tiny_model_dir), max_tokens=32)
    )
    for label, part in requests(Request(small, tmp_path / "run", device="cpu")):
        plan = plan_run(part, Log())
        seeds = {cell.seed for cell in plan.cells}
        assert plan.n_prompts == 12 and plan.cells
        assert seeds == ({0, 1, 2} if label == "dropout-on" else {0})


def test_published_figures_are_of_what_the_suite_runs():
    for name in ("paper-main", "paper-cpu", "paper-reuse"):
        suite = load_suite(name)
        for figure in suite.published.figures:
            for pattern in figure.strategies:
                assert pattern == "*" or any(matches(spec, pattern) for spec in suite.select.strategies)
            assert figure.budget is None or figure.budget in suite.select.budgets
            assert figure.reuse is None or figure.reuse in suite.select.reuse
            assert not figure.grouping or figure.grouping in suite.select.groupings
            assert not figure.subset or figure.subset in suite.corpus.subsets


def test_rates_are_those_of_the_reports():
    for rate in RATES:
        report = json.loads((ROOT / rate.source).read_text())
        rows, card = report["rows"], report["machine"]["gpu"]
        assert rate.device == CPU or card.endswith(rate.device.removeprefix("one "))
        if rate.device == CPU:
            row = next(row for row in rows if row["what"] == "natural" and row["model"] == rate.model)
            assert rate.gradient_s == pytest.approx(row["ours_s"] / row["n"], rel=1e-3)
            assert rate.tokens == MEAN_TOKENS["minipile"] == pytest.approx(row["tokens"], rel=1e-3)
            continue
        who = "ours" if rate.engine.startswith("compiled") else "published"
        row = next(r for r in rows if (r["who"], r["what"], r["model"]) == (who, "step", rate.model))
        assert rate.tokens == (row["tokens"] if who == "ours" else row["padded_to"])
        assert rate.update_s == pytest.approx(row["reused_s"], rel=1e-3)
        assert rate.gradient_s == pytest.approx(row["fresh_s"] - row["reused_s"], rel=1e-3)
        assert "weights" not in row or rate.weights == row["weights"]


def test_costs_are_counted_from_the_plan(tmp_path):
    file = tmp_path / "small.toml"
    text = """
    [corpus]
    source = "minipile"
    subsets = ["wikipedia"]
    prompts_per_subset = 10
    [select]
    strategies = ["knn", "hullft"]
    budgets = [1, 4]
    reuse = [1, 2]
    arms = ["none", "finetune", "in-context"]
    [model]
    max_tokens = 100
    """
    file.write_text(text)
    cost = cost_of(read_suite(file))
    # knn: 4 steps serve both budgets; hullft: 1 + 4, with and without reuse.
    assert (cost.prompts, cost.steps, cost.selections) == (10, 10 * (4 + 5 + 5), 10 * 4)
    # knn: two budgets, hullft: two with two intervals; in context two budgets each; and the untouched model.
    assert cost.cells == 10 * (2 + 4 + 4 + 1)
    rate = rate_of(CPU, "smollm2-135m-instruct", eager=True)
    assert cost.cpu_s == pytest.approx(10 * (14 + 11 / 3) * rate.gradient_s * 100 / rate.tokens)
    file.write_text(text + '[[variants]]\nlabel = "a"\npool.k = 50\n[[variants]]\nlabel = "b"\npool.k = 60\n')
    assert cost_of(read_suite(file)).steps == 2 * cost.steps
    file.write_text(text.replace('subsets = ["wikipedia"]', ""))
    assert cost_of(read_suite(file)) is None
    unknown = dataclasses.replace(
        load_suite("quick"), model=dataclasses.replace(load_suite("quick").model, name="mine")
    )
    assert cost_of(unknown).gpu_s is None and cost_of(unknown).steps == cost_of(load_suite("quick")).steps


def test_a_rate_that_was_not_measured_follows_from_the_weights():
    gpt2, smol = (rate_of(CPU, name, eager=False) for name in ("openai-community/gpt2", "smollm2-135m"))
    assert gpt2.gradient_s == pytest.approx(smol.gradient_s * gpt2.weights / smol.weights) and "weights" in gpt2.source
    rate = rate_of(GPU, "gpt2", eager=False)
    short, long = (rate.seconds(tokens) for tokens in (10, 2 * rate.tokens))
    assert short == pytest.approx(rate.gradient_s + rate.update_s)
    assert long == pytest.approx(2 * rate.gradient_s + rate.update_s)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (89, "89 s"),
        (300, "5.0 min"),
        (5000, "83 min"),
        (9000, "2.5 h"),
        (3e5, "3.5 days"),
        (2e6, "23 days"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text and duration(None) == "not measured"
