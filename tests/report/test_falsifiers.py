"""Question 3: every kind of falsifier comes out each way; the pre-registration is what is computed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from paired_rows import FALSIFIER as GOOD
from paired_rows import budgets, rows
from ttft_bench.errors import SuiteError
from ttft_bench.registry import FALSIFIERS, files
from ttft_bench.report.paired import Interval
from ttft_bench.report.questions import Falsifier, evaluate, read_falsifiers
from ttft_bench.report.questions.evaluate import matches, rule
from ttft_bench.report.questions.falsifiers import RULE, table_lines
from ttft_bench.report.questions.markdown import finding_lines

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "benchmarks" / "FALSIFIERS.md").read_text(encoding="utf-8")
REGISTERED = {item.id: item for item in read_falsifiers(ROOT / "benchmarks" / "ttft_suites" / "falsifiers.toml")}
NO_LEAD, LEAD = 80.1, 83.0
CURVE = [(5, 90.0, 1.0), (10, 85.0, 2.0), (20, 80.0, 4.0)]


def judged(item, data):
    if isinstance(item, str):
        item = REGISTERED[item]
    (found,) = evaluate([item], data)
    return found


def shifted(by):
    return [(budget, level + by, time) for budget, level, time in CURVE]


def test_the_page_shows_what_is_computed():
    table = PAGE.split("<!-- table:begin -->\n")[1].split("\n<!-- table:end -->")[0].split("\n")
    assert table == table_lines(list(REGISTERED.values()))
    assert " ".join(RULE.split()) in " ".join(PAGE.split())
    assert files(FALSIFIERS, pytest.fail) == [ROOT / "benchmarks" / "ttft_suites" / "falsifiers.toml"]


def test_every_case_of_the_field_is_registered():
    kinds = {item.kind for item in REGISTERED.values()}
    assert kinds == {"equal-time", "equal-budget", "lower-residual", "reuse-mode", "persists"}
    assert {item.vary for item in REGISTERED.values()} == {"", "stratum", "embedder", "model"}
    rivals = {rival for item in REGISTERED.values() for rival in item.rivals}
    assert {"sift[...]", "knn-repeat", "hull-shuffled", "random-corpus"} <= rivals


@pytest.mark.parametrize(
    ("by", "ruling"), [(3.0, "stands"), (-1.0, "falsified"), (0.0, "falsified"), (0.2, "falsified")]
)
def test_sift_on_the_frontier(by, ruling):
    data = budgets({"hullft": CURVE, "sift": shifted(by + 1), "sift[lam=1.0]": shifted(by)})
    found = judged("sift-on-the-frontier", data)
    assert found.ruling == ruling
    assert len(found.evidence) == 10 and {part.what.split(" at ")[0] for part in found.evidence} == {
        "sift",
        "sift[lam=1.0]",
    }
    assert found.evidence[0].advantage.confidence == pytest.approx(1 - 0.05 / 10)


def test_a_rival_that_is_faster_counts_at_equal_time():
    slow = [(budget, level - 1.0, 3 * time) for budget, level, time in CURVE]
    data = budgets({"hullft": slow, "knn-repeat": CURVE})
    assert judged("repetition-alone", data).ruling == "falsified"
    assert judged("repetition-alone", budgets({"hullft": CURVE, "knn-repeat": shifted(4.0)})).ruling == "stands"


@pytest.mark.parametrize(("level", "ruling"), [(LEAD, "stands"), (NO_LEAD, "falsified")])
def test_shuffled_weights(level, ruling):
    data = rows({"hullft": 80.0, "hull-shuffled": level, "uniform-support": LEAD})
    assert judged("weights-carry-nothing", data).ruling == ruling


def test_an_unsure_difference_and_few_prompts_decide_nothing():
    data = {"hullft": 80.0, "hull-shuffled": 80.8, "uniform-support": LEAD}
    unsure = judged("weights-carry-nothing", rows(data, noise=4.0))
    assert unsure.ruling == "not decided" and "neither above 0 nor below 0.5" in unsure.why
    few = judged("weights-carry-nothing", rows(data, n=20))
    assert few.ruling == "not decided" and "20 of the 30 prompts" in few.why


def residuals(bpb, residual):
    data = []
    for strategy, level in bpb.items():
        data += rows({strategy: level}, residual=residual[strategy])
    for place, item in enumerate(data):
        item["residual"] += 0.001 * (place % 7)
    return data


@pytest.mark.parametrize(("level", "ruling"), [(LEAD, "stands"), (NO_LEAD, "falsified")])
def test_a_lower_residual_must_pay(level, ruling):
    levels = {"exact-integer": 80.0, "hullft": 80.0, "sift": level, "knn": LEAD}
    found = judged(
        "optimum-does-not-pay", residuals(levels, {"exact-integer": 0.3, "hullft": 0.301, "sift": 0.4, "knn": 0.4})
    )
    assert found.ruling == ruling
    assert not any("hullft" in part.what for part in found.evidence), "an equal residual says nothing"


def test_equal_residuals_make_no_comparison_informative():
    levels = {"exact-integer": 80.0, "hullft": 80.0, "sift": 85.0, "knn": 85.0}
    found = judged("optimum-does-not-pay", residuals(levels, dict.fromkeys(levels, 0.3)))
    assert found.ruling == "not decided" and "no comparison is informative" in found.why


@pytest.mark.parametrize(("level", "ruling"), [(LEAD, "stands"), (NO_LEAD, "falsified")])
def test_reuse_against_fewer_real_steps(level, ruling):
    data = rows({"hullft": 80.0}, reuse_interval=2) + rows({"hullft": level}, reuse_interval=2, reuse_mode="skip")
    data += rows({"hullft": 79.0})
    found = judged("reuse-is-fewer-steps", data)
    assert found.ruling == ruling and found.evidence[0].what == "r = 2, N = 10"
    assert judged("reuse-is-fewer-steps", rows({"hullft": 79.0})).why.startswith("hullft was not run with both")


@pytest.mark.parametrize(("level", "ruling"), [(LEAD, "stands"), (NO_LEAD, "falsified")])
def test_gains_without_near_duplicates(level, ruling):
    data = rows({"hullft": 80.0, "random-corpus": LEAD + 3}, n=100)
    for item in data:
        if item["prompt_id"] < "p040":
            item["stratum"] = "exact"
        elif item["strategy"] == "random-corpus":
            item["bpb_pct"] += level - LEAD - 3
    found = judged("gain-needs-near-duplicates", data)
    assert found.ruling == ruling and found.evidence[0].advantage.n_prompts == 60


def test_strata_that_were_not_computed_and_leads_that_never_were():
    lead = rows({"hullft": 80.0, "random-corpus": LEAD}, stratum="")
    assert judged("gain-needs-near-duplicates", lead).why == "strata were not computed"
    none = judged("gain-needs-near-duplicates", rows({"hullft": 80.0, "random-corpus": NO_LEAD}))
    assert none.ruling == "not decided" and "no advantage on all prompts to lose" in none.why


@pytest.mark.parametrize("column", ["embedder", "model"])
@pytest.mark.parametrize(("level", "ruling"), [(LEAD, "stands"), (NO_LEAD, "falsified")])
def test_another_embedder_or_model(column, level, ruling):
    first = rows({"hullft": 80.0, "random-corpus": LEAD, "knn": LEAD, "sift": LEAD})
    other = rows({"hullft": 80.0, "random-corpus": level}, **{column: "another", "device": "cuda"})
    assert judged(f"gain-needs-this-{column}", first + other).ruling == ruling
    assert judged(f"gain-needs-this-{column}", first).why == f"only one {column} was run"


def test_shuffled_embeddings_are_no_other_embedder():
    data = rows({"hullft": 80.0, "random-corpus": LEAD, "knn": LEAD})
    data += rows({"hullft": 90.0, "random-corpus": 90.0}, embedder="shuffled[tiny-embedder]")
    assert judged("gain-needs-this-embedder", data).why == "only one embedder was run"


def test_other_learning_rates_and_arms_do_not_mix_in():
    data = rows({"hullft": 80.0, "hull-shuffled": LEAD, "uniform-support": LEAD}, n=60)
    worse = rows({"hullft": 95.0}, lr=1e-3) + rows({"hull-shuffled": 70.0}, arm="in-context", lr=None, trainable="")
    assert judged("weights-carry-nothing", data + worse).ruling == "stands"


def test_times_of_two_devices_decide_nothing():
    from ttft_bench.report.paired.split import QUALITY_SCOPE

    data = budgets({"hullft": CURVE}, device="one") + budgets({"sift": shifted(4.0)}, device="two")
    (found,) = evaluate([REGISTERED["sift-on-the-frontier"]], data, QUALITY_SCOPE)
    assert found.why == "subject and rivals were not timed on one device"
    assert judged("sift-on-the-frontier", data).why == "sift[...] was not run"


def test_what_was_not_run_is_named_and_nothing_crashes_on_nothing():
    found = judged("weights-carry-nothing", rows({"hullft": 80.0, "knn": 81.0}))
    assert found.ruling == "not decided" and found.why == "hull-shuffled, uniform-support was not run"
    everything = evaluate(list(REGISTERED.values()), [])
    assert {item.ruling for item in everything} == {"not decided"}
    text = "\n".join(finding_lines(everything))
    assert all(item in text for item in REGISTERED)


def test_the_rule_has_three_ways_out_and_no_gap():
    def of(low, high):
        return rule(Interval((low + high) / 2, low, high, 60, 60), 0.5)[0]

    assert (of(0.1, 0.6), of(0.1, 0.4), of(-0.1, 0.6), of(-2.0, -1.0)) == (
        "stands",
        "falsified",
        "not decided",
        "falsified",
    )


def test_patterns():
    assert matches("sift[lam=1.0]", "sift[...]") and matches("sift", "sift[...]")
    assert not matches("sift-lazy", "sift[...]") and not matches("sift[lam=1.0]", "sift")


@pytest.mark.parametrize("kind", ["equal-time", "equal-budget", "lower-residual", "persists"])
@pytest.mark.parametrize(
    ("rivals", "why"),
    [
        (["hullft[...]"], "no rival among hullft[...] besides hullft was run"),
        (["hullft"], "no rival among hullft besides hullft was run"),
        (["hullft[...]", "knn"], "no rival among hullft[...] besides hullft was run"),
        (["sift"], "sift was not run"),
    ],
)
def test_a_subject_is_no_rival_of_its_own(kind, rivals, why):
    item = Falsifier("x", "c", "f", kind, "hullft", tuple(rivals), "s", vary="stratum")
    assert judged(item, rows({"hullft": 80.0, "knn": LEAD}, residual=0.3)).why == why


def test_a_subject_among_its_rivals_is_passed_over():
    item = Falsifier("x", "c", "f", "equal-budget", "hullft", ("hullft", "knn"), "s")
    found = judged(item, rows({"hullft": 80.0, "knn": LEAD}))
    assert [part.what for part in found.evidence] == ["knn at N = 10"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no"),
        ("x = [", "TOML"),
        (GOOD + "margins = 1\n", "unknown key margins"),
        (GOOD.replace('claim = "c"\n', ""), "claim is missing"),
        (GOOD.replace("equal-budget", "equal-bugdet"), "kind must be one of"),
        (GOOD.replace("equal-budget", "reuse-mode"), "needs the key mode"),
        (GOOD.replace("equal-budget", "persists"), "needs the key vary"),
        ("falsifier = 3", "list of tables"),
        (GOOD.replace('["b"]', '"b"'), "x: rivals must be a list of strategies, got 'b'"),
        (GOOD.replace('"s"', "3"), "x: suite must be text, got 3"),
        (GOOD + 'margin = "wide"\n', "x: margin must be a finite number, got 'wide'"),
        (GOOD + "margin = nan\n", "x: margin must be a finite number, got nan"),
        (GOOD + f"margin = 1{'0' * 400}\n", "x: margin must be a finite number, got 1000"),
        (GOOD + "min_reduction = inf\n", "x: min_reduction must be a finite number, got inf"),
        (GOOD.replace("equal-budget", "persists") + 'vary = "modle"\n', "x: vary must be one of stratum, .*'modle'"),
        (GOOD.replace("equal-budget", "reuse-mode") + 'mode = "skp"\n', "x: mode must be one of skip, .*'skp'"),
        (GOOD.replace("equal-budget", "reuse-mode") + 'mode = "cached"\n', "x: mode must be one of skip, .*'cached'"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path, text, message):
    path = tmp_path / "f.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SuiteError, match=message):
        read_falsifiers(path)


def test_a_good_file_is_read(tmp_path):
    (tmp_path / "f.toml").write_text(GOOD, encoding="utf-8")
    (found,) = read_falsifiers(tmp_path / "f.toml")
    assert found == Falsifier("x", "c", "f", "equal-budget", "a", ("b",), "s")
    assert "with reuse on both sides" in dataclasses.replace(found, reuse="on").comparison
    data = rows({"a": 80.0, "b": LEAD}, reuse_interval=2)
    assert judged(dataclasses.replace(found, reuse="on"), data).ruling == "stands"
    assert judged(found, data).why == "b shares no budget with a"
