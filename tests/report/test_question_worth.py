"""Question 2: verdicts either way, the break-even formula, and the map of regimes."""

from __future__ import annotations

import dataclasses

import pytest

from paired_rows import budgets, row, rows
from ttft_bench.report.page.answers import break_even_table
from ttft_bench.report.paired import Interval, Outcome
from ttft_bench.report.questions import answer_worth
from ttft_bench.report.questions.breakeven import break_even
from ttft_bench.report.questions.markdown import worth_lines
from ttft_bench.report.questions.regimes import regime_map
from ttft_bench.report.questions.worth import judge

CURVE = [(1, 95.0, 0.9), (5, 88.0, 2.9), (20, 80.0, 6.0)]
CONTEXT = {"arm": "in-context", "trainable": "", "lr": None, "finetune_s": None, "context_s": 0.2, "restore_s": None}


def in_context(level, **changes):
    values = {**CONTEXT, "score_s": 0.4, "select_s": 0.1, "finetune_s": 0.0, **changes}
    return rows({"s": level}, budget=5, **values)


def verdicts(data):
    return {item.question.removesuffix("?").split("against ")[1]: item for item in answer_worth(data).verdicts}


def test_worth_it_where_it_is_better_at_every_time():
    found = verdicts([*budgets({"s": CURVE}), *in_context(97.0)])
    assert found["nothing"].answer == "yes" and found["in-context"].answer == "yes"
    assert found["finetune lora"].answer == "not decided" and "was not run" in found["finetune lora"].sentence


def test_not_worth_it_where_reading_is_better_at_every_time():
    assert verdicts([*budgets({"s": CURVE}), *in_context(70.0)])["in-context"].answer == "no"


def test_partly_where_it_takes_time_to_be_better():
    found = verdicts([*budgets({"s": CURVE}), *in_context(88.0)])["in-context"]
    assert found.answer == "partly" and ", higher at " in found.sentence


BETTER, WORSE, UNSURE = (Interval(value, value - 0.5, value + 0.5, 60, 60) for value in (-1.0, 1.0, 0.0))


def test_times_are_told_for_what_is_shown_at_them():
    mixed = judge("x", [(1.0, BETTER), (2.0, UNSURE), (4.0, WORSE)])
    assert mixed.answer == "partly"
    assert mixed.sentence.startswith("lower BPB% at 1.00 s, higher at 4.00 s, neither is shown at the other times;")
    assert judge("x", [(1.0, BETTER), (4.0, WORSE)]).sentence.startswith("lower BPB% at 1.00 s, higher at 4.00 s;")
    some = judge("x", [(1.0, BETTER), (2.0, UNSURE)])
    assert some.sentence.startswith("lower BPB% at 1.00 s, neither is shown at the other times;")


def test_a_time_that_one_of_them_does_not_reach_is_not_spoken_for():
    late = Interval(None, None, None, 60, 60, Outcome.NOT_REACHED)
    assert "at every time looked at that both reach;" in judge("x", [(1.0, late), (2.0, BETTER)]).sentence
    assert "that finetuning reaches;" in judge("nothing", [(1.0, late), (2.0, BETTER)]).sentence


def test_harm_is_told_against_nothing():
    harmful = [(1, 101.0, 0.9), (5, 103.0, 2.9)]
    assert verdicts(budgets({"s": harmful}, noise=0.05, n=400))["nothing"].answer in ("no", "not decided")
    flat = [row("s", p, 101.0 + (p % 5) / 10, finetune_s=1.0) for p in range(60)]
    assert verdicts(flat)["nothing"].answer == "no"


def test_lora_is_a_treatment_of_its_own():
    lora = budgets({"s": [(5, 96.0, 2.0), (20, 94.0, 5.0)]}, trainable="lora[r=8]")
    answer = answer_worth([*budgets({"s": CURVE}), *lora])
    assert {line.label for line in answer.table.lines} == {"finetune", "finetune lora[r=8]"}
    assert verdicts([*budgets({"s": CURVE}), *lora])["finetune lora[r=8]"].answer == "yes"
    better = budgets({"s": [(5, 70.0, 0.1)]}, trainable="lora[r=8]")
    assert verdicts([*budgets({"s": CURVE}), *better])["finetune lora[r=8]"].answer == "no"


def test_only_strategies_that_every_treatment_has_take_part_and_controls_do_not():
    data = [*budgets({"s": CURVE, "only-finetuned": CURVE, "control": CURVE}), *in_context(90.0)]
    answer = answer_worth(data, controls=frozenset({"control"}))
    assert answer.strategies == ("s",)


def test_treatments_without_a_strategy_in_common_are_not_compared():
    elsewhere = [{**item, "strategy": "other"} for item in in_context(97.0)]
    answer = answer_worth([*budgets({"s": CURVE}), *elsewhere])
    found = verdicts([*budgets({"s": CURVE}), *elsewhere])
    assert (answer.strategies, answer.apart) == (("s",), ("in-context",))
    assert [line.label for line in answer.table.lines] == ["finetune"]
    assert found["in-context"].answer == "not decided"
    assert found["in-context"].sentence == "no strategy was run in both."
    assert found["nothing"].answer == "yes", "finetuning is enough to hold it against nothing"


def test_a_treatment_that_stands_apart_does_not_cost_the_others_their_strategies():
    lora = budgets({"other": [(5, 96.0, 2.0)]}, trainable="lora[r=8]")
    answer = answer_worth([*budgets({"s": CURVE}), *in_context(97.0), *lora])
    assert (answer.strategies, answer.apart) == (("s",), ("finetune lora[r=8]",))
    assert {line.label for line in answer.table.lines} == {"finetune", "in-context"}


def test_treatments_that_share_strategies_only_two_by_two_are_not_compared():
    lora = budgets({"t": [(5, 96.0, 2.0)]}, trainable="lora[r=8]")
    data = [*budgets({"s": CURVE, "t": CURVE}), *in_context(97.0), *lora]
    assert answer_worth(data).strategies == ("s", "t")
    assert verdicts(data)["in-context"].sentence == "no strategy was run with every use of the picks."
    without = [item for item in data if item["trainable"] != "full"]
    assert answer_worth(without).strategies == () and verdicts(without)["in-context"].answer == "not decided"


def test_few_prompts_and_no_rows_decide_nothing():
    few = answer_worth(budgets({"s": CURVE}, n=6)).verdicts[0]
    assert few.answer == "not decided" and "30 prompts" in few.sentence
    assert {item.answer for item in answer_worth([]).verdicts} == {"not decided"}


def test_a_difference_that_is_not_shown_is_not_decided():
    unsure = Interval(-0.5, -1.5, 0.5, 60, 60)
    assert judge("x", [(1.0, unsure)]).answer == "not decided"
    assert judge("x", [(1.0, Interval(None, None, None, 0, 0, Outcome.NOT_REACHED))]).answer == "not decided"


def test_break_even_is_the_one_off_cost_over_what_a_token_saves():
    data = rows({"s": 80.0}, budget=5, finetune_s=3.0, restore_s=0.2, score_s=0.2, tokens_scored=200)
    data += in_context(85.0, context_s=0.2, score_s=0.4, tokens_scored=200)
    (found,) = break_even(data)
    # (3.2 - 0.2) / (0.4 / 200 - 0.2 / 200)
    assert found.tokens.value == pytest.approx(3000.0)
    assert (found.once_finetune_s, found.once_context_s) == (pytest.approx(3.2), pytest.approx(0.2))
    assert found.quality.verdict == "better"


def test_break_even_at_once_and_never():
    cheap = rows({"s": 80.0}, budget=5, finetune_s=0.05, restore_s=0.05, score_s=0.2)
    (at_once,) = break_even([*cheap, *in_context(85.0, context_s=0.2)])
    assert at_once.tokens.value == 0.0 and at_once.tokens.outcome is Outcome.ALL_EQUAL
    dear = rows({"s": 80.0}, budget=5, finetune_s=3.0, score_s=0.5)
    (never,) = break_even([*dear, *in_context(85.0, score_s=0.4)])
    assert (never.tokens.value, never.tokens.outcome) == (None, Outcome.NEVER)
    assert break_even(cheap) == () and break_even([]) == ()


def test_finetuning_that_is_cheaper_only_at_first_does_not_pay_in_the_long_run():
    at_first = rows({"s": 80.0}, budget=5, finetune_s=0.05, restore_s=0.05, score_s=0.6)
    (found,) = break_even([*at_first, *in_context(85.0, context_s=0.2, score_s=0.4)])
    assert (found.tokens.value, found.tokens.outcome) == (None, Outcome.AT_FIRST)
    # (0.2 - 0.1) / (0.6 / 200 - 0.4 / 200)
    assert found.in_words == "only at first, up to 100 tokens"
    same = dataclasses.replace(found, token_finetune_s=found.token_context_s)
    assert same.in_words == "only at first", "two sums that are one but for their order, and rounded apart"
    assert "only at first, up to 100 tokens" in str(break_even_table([found]).lines[0].cells[1])
    (level,) = break_even([*at_first, *in_context(85.0, context_s=0.1, score_s=0.4)])
    assert (level.tokens.outcome, level.in_words) == (Outcome.NEVER, "never")


def test_nothing_is_said_of_the_long_run_where_a_token_costs_about_the_same():
    for finetune_s in (0.05, 3.0):
        data = [row("s", p, 80.0, budget=5, finetune_s=finetune_s, score_s=0.41 + 0.2 * (p % 4 > 1)) for p in range(60)]
        (found,) = break_even([*data, *in_context(85.0, context_s=0.2, score_s=0.5)])
        assert (found.tokens.value, found.tokens.outcome) == (None, Outcome.UNSTABLE)
        assert found.in_words.startswith("not decided")


def test_picks_are_the_same_whatever_trained_on_them():
    lora = rows({"s": 80.0}, budget=5, trainable="lora[r=8]", reuse_interval=2)
    (found,) = break_even([*lora, *in_context(85.0)])
    assert (found.finetuned.trainable, found.in_context.arm, found.in_words) == ("lora[r=8]", "in-context", "")


def test_a_break_even_that_some_resamples_lack_has_no_interval():
    data = [row("s", p, 80.0, score_s=0.2 + 0.1 * (p % 2), budget=5, group=f"g{p}") for p in range(12)]
    data += [row("s", p, 85.0, budget=5, group=f"g{p}", **{**CONTEXT, "score_s": 0.26}) for p in range(12)]
    (found,) = break_even(data)
    assert found.tokens.value is not None and found.tokens.outcome is Outcome.UNSTABLE


def regime_rows(n=90):
    """Finetuning helps where the neighbour is near, reading where it is not; lengths are spread evenly."""
    found = []
    for p in range(n):
        near = p % 3 == 0
        place = {"tokens_scored": 100 + p, "similarity_max": 0.9 if near else 0.3 + p / 1000, "pool_source": "nearest"}
        for strategy in ("s", "t"):
            found.append(row(strategy, p, 70.0 if near else 95.0, budget=5, **place))
            found.append(row(strategy, p, 80.0 if near else 90.0, budget=5, **{**CONTEXT, **place}))
    return found


def test_the_map_says_where_finetuning_is_better_with_counts():
    found = regime_map(regime_rows(), "in-context")
    assert found.strategies == ("s", "t") and found.budget == 5 and found.reason == ""
    assert sum(item.n_prompts for item in found.regimes) == 90
    by_similarity = {item.similarity: item.difference.value for item in found.regimes if item.n_prompts}
    assert by_similarity[min(by_similarity)] == pytest.approx(5.0)
    assert by_similarity[max(by_similarity)] == pytest.approx(-10.0)
    assert len({item.tokens for item in found.regimes}) == 3


def test_a_map_against_nothing_needs_no_rival_rows_and_empty_bins_are_named():
    data = [row("s", p, 90.0, tokens_scored=100, similarity_max=0.5, pool_source="nearest") for p in range(9)]
    (only,) = regime_map(data).regimes
    assert only.n_prompts == 9 and only.difference.value == pytest.approx(-10.0)
    assert regime_map(data, "in-context").reason.startswith("no picks")
    assert "tokens_scored" in regime_map([{**r, "tokens_scored": None} for r in data]).reason
    corner = [
        row("s", p, 90.0, tokens_scored=100 + p, similarity_max=0.1 * p, pool_source="nearest", group=f"g{p}")
        for p in range(9)
    ]
    empty = [item for item in regime_map(corner).regimes if not item.n_prompts]
    assert len(empty) == 6 and all(item.difference.outcome is Outcome.NO_DATA for item in empty)


def test_a_map_is_of_the_most_frequent_learning_rate():
    place = {"similarity_max": 0.5, "pool_source": "nearest", "budget": 5}
    usual = [row("s", p, 80.0, **place) for p in range(40)]
    wild = [row("s", p, 140.0, lr=1e-2, **place) for p in range(30)]
    found = regime_map([*usual, *wild])
    assert [item.difference.value for item in found.regimes] == [pytest.approx(-20.0)]
    assert found.setting == "N = 5, lr = 5e-05, mean over s"
    both = [row("s", p, 60.0, arm="in-context+finetune", lr=lr, **place) for p in range(40) for lr in (5e-5, 1e-3)]
    (only,) = regime_map([*usual, *wild, *both[::2]], "in-context+finetune").regimes
    assert only.difference.value == pytest.approx(20.0)
    mixed = [{**item, "bpb_pct": 99.0} for item in both[1::2]]
    assert regime_map([*usual, *both[::2], *mixed], "in-context+finetune").regimes == (only,)
    assert "lr" not in regime_map([{**item, "lr": None} for item in usual]).setting


def test_everything_is_written_down():
    text = "\n".join(worth_lines(answer_worth([*budgets({"s": CURVE}), *in_context(88.0)])))
    assert "tokens until it pays" in text and "against in-context? Partly" in text
