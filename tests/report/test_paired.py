"""Paired statistics: known differences come back, degenerate inputs have names, and nothing warns."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from scipy.stats import wilcoxon
from statsmodels.stats.weightstats import ttost_paired

from paired_rows import row, rows
from ttft_bench.report.paired import (
    Outcome,
    compare_all,
    forest,
    split_rows,
    split_scopes,
    split_shuffled,
    summarise_settings,
)
from ttft_bench.report.paired.markdown import family_lines, figure, forest_lines, summary_lines
from ttft_bench.report.paired.prompts import by_setting, pair
from ttft_bench.report.paired.resample import interval, mean_interval, ratio
from ttft_bench.report.paired.significance import correct, significance
from ttft_bench.report.stats import Key, settle
from ttft_bench.seeds import derive_rng


def compared(all_rows, reference="a"):
    return {item.setting.strategy: item for item in compare_all(settle(all_rows), reference).comparisons}


def test_a_difference_much_smaller_than_prompts_differ_is_found_by_pairing():
    found = compared(rows({"a": 80.0, "better": 79.0, "worse": 81.0, "same": 80.0}))
    better = found["better"]
    assert better.difference.value == pytest.approx(-1.0, abs=0.15)
    assert better.difference.low < -1.0 < better.difference.high or better.difference.below(-0.7)
    assert better.difference.outcome is Outcome.OK and (better.difference.n_prompts, better.difference.n_groups) == (
        60,
        30,
    )
    assert {name: item.verdict for name, item in found.items()} == {
        "better": "better",
        "worse": "worse",
        "same": "equivalent",
    }
    assert better.wins > 50 and better.wins + better.ties + better.losses == 60
    assert (found["worse"].losses, found["worse"].wins) == (better.wins, better.losses) or found["worse"].losses > 50


def test_the_tests_are_those_of_scipy_and_statsmodels():
    data = rows({"a": 80.0, "b": 79.9}, n=40)
    paired = pair([r for r in data if r["strategy"] == "b"], [r for r in data if r["strategy"] == "a"])
    values = np.array(paired.differences)
    prompts, groups = significance(paired, "prompt"), significance(paired, "group")
    assert prompts.wilcoxon.p == pytest.approx(wilcoxon(values).pvalue)
    assert prompts.tost.p == pytest.approx(ttost_paired(values, 0 * values, -0.5, 0.5)[0])
    means = values.reshape(-1, 2).mean(axis=1)
    assert (prompts.n, groups.n) == (40, 20)
    assert groups.wilcoxon.p == pytest.approx(wilcoxon(means).pvalue)


def test_holm_corrects_over_the_family_and_never_lowers_a_p_value():
    found = compared(rows({"a": 80.0, "b": 79.8, "c": 80.1, "d": 80.05}, noise=1.0)).values()
    raw = [item.by_group.wilcoxon.p for item in found]
    held = [item.by_group.wilcoxon_holm.p for item in found]
    assert min(held) == pytest.approx(min(1.0, 3 * min(raw)))
    assert all(corrected >= p for corrected, p in zip(held, raw, strict=True))


def test_intervals_are_over_groups_and_siblings_do_not_narrow_them():
    draw = np.random.default_rng(0)
    of_groups = draw.normal(0, 1, 20)
    alone = mean_interval(list(of_groups), [f"g{i}" for i in range(20)])
    copies = mean_interval(list(np.repeat(of_groups, 10)), [f"g{i}" for i in np.repeat(range(20), 10)])
    blind = mean_interval(list(np.repeat(of_groups, 10)), [f"p{i}" for i in range(200)])
    assert (copies.low, copies.high) == (pytest.approx(alone.low), pytest.approx(alone.high))
    assert blind.high - blind.low < 0.5 * (alone.high - alone.low)


def test_bca_is_that_of_scipy_where_every_prompt_is_its_own_group():
    from scipy.stats import bootstrap

    values = np.random.default_rng(3).exponential(1, 40)
    found = mean_interval(list(values), [f"{i:03d}" for i in range(40)])
    other = bootstrap((values,), np.mean, method="BCa", rng=np.random.default_rng(1)).confidence_interval
    assert found.low == pytest.approx(other.low, abs=0.08) and found.high == pytest.approx(other.high, abs=0.08)


@pytest.mark.parametrize("n", [15, 40])
@pytest.mark.parametrize("combine", [ratio, lambda sums: sums[..., 0] / sums[..., 1]], ids=["ratio", "another"])
def test_draws_shared_by_intervals_give_what_scipy_gives_each_of_them(n, combine):
    """Counts of draws are kept for all intervals over as many groups: no digit may depend on it."""
    from scipy.stats import bootstrap

    values = np.random.default_rng(n).exponential(1, (n, 2))
    names = [f"{i:03d}" for i in range(n)]
    first, second = (interval(values, names, combine) for _ in range(2))

    def statistic(index, axis=-1):
        return values[index, 0].sum(axis=axis) / values[index, 1].sum(axis=axis)

    rng = derive_rng("bootstrap over groups")
    alone = bootstrap((np.arange(n),), statistic, n_resamples=999, batch=2000, method="BCa", rng=rng)
    assert first == second
    # 999: what the fixture of this folder asks for.
    assert (first.low, first.high) == pytest.approx(tuple(alone.confidence_interval), rel=1e-12)


def test_more_resamples_are_drawn_where_more_are_asked_for(monkeypatch):
    values = list(np.random.default_rng(0).normal(0, 1, 20))
    names = [f"{i:03d}" for i in range(20)]
    few = mean_interval(values, names)
    monkeypatch.setattr("ttft_bench.report.paired.resample.N_RESAMPLES", 4999)
    assert mean_interval(values, names) != few, "what was kept of fewer draws is no answer"


def test_a_correction_leaves_the_collector_as_it_was(monkeypatch):
    few = [significance(pair(rows({"b": 79.0}, n=12), rows({"b": 80.0}, n=12)), "prompt")] * 2
    assert gc.get_freeze_count() == 0
    correct(few)
    assert gc.get_freeze_count() == 0
    # Told, not counted: what is frozen for good may still be freed by a collection, if nothing uses it any more.
    asked = []
    monkeypatch.setattr(gc, "freeze", lambda: asked.append("freeze"))
    monkeypatch.setattr(gc, "unfreeze", lambda: asked.append("unfreeze"))
    correct(few)
    assert asked == ["freeze", "unfreeze"]
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 7)
    correct(few)
    assert asked == ["freeze", "unfreeze"], "what somebody else has frozen is not ours to thaw"


def test_settings_of_some_strategies_are_those_of_all_without_the_rest():
    data = rows({"a": 80.0, "b": 79.0, "": 78.0}, n=3)
    every = by_setting(data)
    assert by_setting(data, {"b", "(unnamed)"}) == {key: part for key, part in every.items() if key.strategy != "a"}


def test_the_global_generator_is_left_alone_and_results_repeat():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    data = rows({"a": 80.0, "b": 79.0}, n=10)
    assert compare_all(data, "a") == compare_all(data[::-1], "a")
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("data", "outcome", "verdict"),
    [
        (rows({"a": 80.0, "b": 79.0}, n=1), Outcome.ONE_PROMPT, "not decided: 1 of the 30 prompts that are needed"),
        (rows({"a": 80.0, "b": 79.0}, n=2), Outcome.ONE_GROUP, "not decided: 2 of the 30 prompts that are needed"),
        (
            rows({"a": 80.0, "b": 79.0}, n=40, group="g"),
            Outcome.ONE_GROUP,
            "not decided: 1 of the 10 groups that are needed",
        ),
        (rows({"a": 80.0}, n=4) + rows({"b": 79.0}, n=4, status="failed"), Outcome.NO_DATA, "no data"),
        (rows({"a": 80.0}, n=4) + rows({"b": float("nan")}, n=4), Outcome.NO_DATA, "no data"),
        (
            [row("a", p, 80.0) for p in range(4)] + [row("b", p + 4, 80.0) for p in range(4)],
            Outcome.NO_DATA,
            "no data",
        ),
        ([row(s, p, 80.0 + p) for s in "ab" for p in range(30)], Outcome.ALL_EQUAL, "equivalent"),
        ([row(s, p, 80.0 + 2 * (s == "b")) for s in "ab" for p in range(30)], Outcome.ALL_EQUAL, "worse"),
    ],
    ids=[
        "one prompt",
        "two prompts",
        "one group",
        "all failed",
        "nan",
        "no shared prompt",
        "all the same",
        "all shifted",
    ],
)
def test_degenerate_comparisons_have_named_outcomes(data, outcome, verdict):
    found = compared(data)["b"]
    assert found.difference.outcome is outcome
    assert found.verdict == verdict
    assert outcome.value in figure(found.difference) or outcome is Outcome.ALL_EQUAL
    assert summarise_settings(settle(data))


@pytest.mark.parametrize("level", [70.0, 80.0, 90.0], ids=["better", "same", "worse"])
def test_too_few_prompts_or_groups_decide_nothing_whatever_the_figures(level):
    few = compared(rows({"a": 80.0, "b": level}, n=29, noise=0.01))["b"]
    assert few.difference.outcome is Outcome.OK and few.by_group.n == 15
    assert few.verdict == "not decided: 29 of the 30 prompts that are needed"
    crowded = [{**r, "group": f"g{int(r['prompt_id'][1:]) % 9}"} for r in rows({"a": 80.0, "b": level}, noise=0.01)]
    assert compared(crowded)["b"].verdict == "not decided: 9 of the 10 groups that are needed"
    assert "9 of the 10 groups" in "\n".join(family_lines(compare_all(settle(crowded), "a")))


def test_equivalence_must_agree_with_the_interval_beside_it():
    """A mean over groups may be small where the mean over prompts is not: one article of many prompts."""
    data = [row(s, p, 80.0, group=f"g{p}") for s in "ab" for p in range(40)]
    data += [row(s, p, 80.0 + 2 * (s == "b"), group="large") for s in "ab" for p in range(40, 80)]
    for item in data[40:80]:
        item["bpb_pct"] += 0.01 * (int(item["prompt_id"][1:]) % 3 - 1)
    found = compared(data)["b"]
    assert found.by_group.equivalent and found.difference.value > 0.9 and not found.difference.below(0.5)
    assert found.verdict == "not decided"


def test_unpaired_and_failed_prompts_are_counted_and_left_out():
    data = rows({"a": 80.0, "b": 79.0}, n=10)
    data = [r for r in data if (r["strategy"], r["prompt_id"]) != ("a", "p000")]
    for r in data:
        if (r["strategy"], r["prompt_id"]) == ("b", "p001"):
            r["status"] = "oom"
    found = compared(data)["b"]
    assert (found.difference.n_prompts, found.n_one_sided) == (8, 2)


def test_seeds_are_paired_and_averaged_within_a_prompt():
    ours = [row("b", p, 70.0 + s, seed=s) for p in range(2) for s in range(3)]
    theirs = [row("a", p, 75.0 + s, seed=s) for p in range(2) for s in range(2)]
    paired = pair(ours, theirs)
    assert paired.differences == (-5.0, -5.0), "the seed that only one side has changes nothing"


def test_a_setting_without_a_partner_at_its_budget_is_named():
    data = [*rows({"a": 80.0, "b": 79.0}, n=4), *rows({"b": 78.0}, n=4, budget=20)]
    found = compare_all(settle(data), "a")
    assert [(str(key), why) for key, why in found.left_out] == [("b (N = 20)", "a has no row at N = 20")]
    assert "is not compared" in "\n".join(family_lines(found))


def test_both_aggregates_have_their_own_names_and_intervals():
    sizes = {0: (50.0, 100), 1: (100.0, 900), 2: (80.0, 1000), 3: (80.0, 1000), 4: (80.0, 1000)}
    data = [row("a", p, pct, bytes_scored=size, group=f"g{p}") for p, (pct, size) in sizes.items()]
    (found,) = summarise_settings(settle(data))
    assert found.bpb_pct_mean.value == pytest.approx(390 / 5)
    assert found.bpb_pct_corpus.value == pytest.approx(100 * (50 + 900 + 3 * 800) / 4000)
    assert found.bpb_pct_corpus.low < found.bpb_pct_corpus.value < found.bpb_pct_corpus.high
    data[0]["bytes_scored"] = None
    (found,) = summarise_settings(settle(data))
    assert found.bpb_pct_corpus.outcome is Outcome.NO_DATA and found.bpb_pct_mean.value is not None


def test_times_are_medians_with_quartiles_and_context_counts_where_there_is_one():
    data = [row("a", p, 80.0, finetune_s=float(p), select_s=0.0) for p in range(1, 6)]
    (found,) = summarise_settings(settle(data))
    total = found.times["total_s"]
    assert (total.q25, total.median, total.q75) == (2.0, 3.0, 4.0)
    (found,) = summarise_settings(settle([{**r, "context_s": 1.0} for r in data]))
    assert found.times["total_s"].median == 4.0 and found.times["context_s"].median == 1.0
    assert "3.00 s (2.00 s to 4.00 s)" in "\n".join(summary_lines(summarise_settings(settle(data))))


def test_a_statistic_that_some_resamples_lack_has_no_interval():
    values = np.array([[1.0, 0.0]] * 4 + [[1.0, 1.0]])
    found = interval(values, list("abcde"), ratio)
    assert (found.value, found.low, found.outcome) == (5.0, None, Outcome.UNSTABLE)
    assert figure(found) == "5.00 (unstable)"
    assert interval(values[:4] + 1, list("abcd"), ratio).outcome is Outcome.FEW_GROUPS
    assert interval(np.zeros((0, 2)), [], ratio).outcome is Outcome.NO_DATA


def test_a_forest_has_a_line_for_every_part_and_one_for_all():
    easy = rows({"a": 80.0, "b": 79.0}, n=30, subset="easy", stratum="near")
    hard = [
        {**r, "prompt_id": f"h{r['prompt_id']}", "group": f"h{r['group']}"}
        for r in rows({"a": 80.0, "b": 82.0}, n=30, subset="hard", stratum="exact")
    ]
    a, b = (Key.of(r) for r in settle([easy[0], easy[-1]]))
    for by, names in (("subset", ["easy", "hard", "all"]), ("stratum", ["exact", "near", "all"])):
        found = forest(b, a, settle(easy + hard), lambda part, by=by: split_rows(part, by))
        assert [line.part for line in found] == names
    verdicts = {line.part: line.comparison.verdict for line in found}
    assert (verdicts["near"], verdicts["exact"]) == ("better", "worse")
    assert len(forest_lines(found)) == 5


def test_rows_are_split_by_stratum_in_order_of_leakage():
    data = [row("a", p, 80.0, stratum=s) for p, s in enumerate(["clean", "", "exact", "near"])]
    assert list(split_rows(data, "stratum")) == ["exact", "near", "clean", "not computed"]
    assert list(split_rows(data)) == ["all"]


def test_scopes_keep_models_and_devices_apart_and_untrained_rows_join_all():
    data = [row("a", p, 80.0, model=m, optimizer="adam") for m in ("m1", "m2") for p in range(3)]
    data += [row("a", 3, 80.0, model="m1", optimizer="sgd"), row("none", 0, 100.0, model="m1", optimizer="")]
    scopes = split_scopes(data)
    assert list(scopes) == ["model=m1, optimizer=adam", "model=m2, optimizer=adam", "model=m1, optimizer=sgd"]
    assert [len(part) for part in scopes.values()] == [4, 3, 2]
    assert list(split_scopes(data[:3])) == [""]
    alone = [*data, row("none", 0, 100.0, model="m3", optimizer="")]
    assert sum(len(part) for part in split_scopes(alone).values()) == 10, "no row is lost"


def test_the_control_with_shuffled_embeddings_is_told_apart():
    data = [row("a", 0, 80.0), row("a", 0, 80.0, embedder="shuffled[tiny-embedder]")]
    true, shuffled = split_shuffled(data)
    assert (len(true), len(shuffled)) == (1, 1)


def test_text_of_rows_is_escaped_in_tables():
    data = rows({"a": 80.0, "<b>|x": 79.0}, n=4)
    text = "\n".join(family_lines(compare_all(settle(data), "a")))
    assert "<b>" not in text and "&lt;b&gt;\\|x" in text


def test_pools_are_scopes_and_a_control_on_random_ones_stands_beside_each():
    data = [row("hullft", p, 80.0, pool_source=source) for source in ("nearest", "bm25") for p in range(3)]
    data += [row("hullft", 3, 80.0, pool_source="embedding"), row("random-corpus", 0, 97.0, pool_source="random")]
    scopes = split_scopes(data)
    assert {name: len(part) for name, part in scopes.items()} == {
        "pool_source=embedding": 5,
        "pool_source=bm25": 4,
    }
    floor = [*data, *(row("hullft", p, 95.0, pool_source="random") for p in range(2))]
    assert len(split_scopes(floor)["pool_source=random"]) == 3, "hullft on random pools is no control but a floor"
    assert list(split_scopes(data[-1:])) == [""]


def test_near_duplicates_left_out_and_kept_are_scopes():
    data = [row("a", 0, 80.0, pool_source="embedding") | {"excluded": word} for word in ("", "near-duplicates[0.8]")]
    assert list(split_scopes(data)) == ["excluded=near-duplicates[0.8]", "excluded=nothing"]
