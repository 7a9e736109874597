"""Question 1 comes out every way its rule knows, on rows made to make it so."""

from __future__ import annotations

import json

import numpy as np
import pytest

from paired_rows import row
from ttft_bench.errors import CorpusError
from ttft_bench.report.findings import find_in
from ttft_bench.report.paired import Interval, Outcome
from ttft_bench.report.questions import answer_residual, read_alignment, with_alignment
from ttft_bench.report.questions.correlations import column, within_prompts
from ttft_bench.report.questions.markdown import residual_lines
from ttft_bench.report.questions.residual import judge


def selections(n=40, per_prompt=10, *, residual=0.0, similarity=0.0, link=0.0, noise=0.5, seed=0, **changes):
    """Rows whose gain is -residual * residual_z + similarity * similarity_z + noise; ``link`` ties the two z."""
    draw = np.random.default_rng(seed)
    found = []
    for prompt in range(n):
        for item in range(per_prompt):
            s = draw.normal()
            r = -link * s + (1 - link) * draw.normal()
            gain = 10 - residual * r + similarity * s + noise * draw.normal()
            values = {"residual": 2 + r / 10, "similarity_mean": 0.5 + s / 20, "document_ids": [item], **changes}
            found.append(row(f"s{item}", prompt, 100 - gain, **values))
    return found


def test_yes_where_the_residual_matters_beyond_similarity():
    answer = answer_residual(selections(residual=1.0))
    assert answer.verdict.answer == "yes" and "was not run" in answer.verdict.sentence
    assert answer.within_budget.mean.below(-0.5) and answer.given_similarity.mean.below(-0.5)
    assert len(answer.within_budget.prompts) == 40


def test_partly_where_similarity_explains_it():
    answer = answer_residual(selections(similarity=1.0, link=0.8))
    assert answer.verdict.answer == "partly" and "similarity alone" in answer.verdict.sentence
    assert answer.within_budget.mean.below(-0.3) and not answer.given_similarity.mean.below(0)


def test_no_where_nothing_links_them_or_the_wrong_way_round():
    assert answer_residual(selections(n=150)).verdict.answer == "no"
    assert answer_residual(selections(residual=-1.0)).verdict.answer == "no"


def test_the_shuffled_control_must_kill_it():
    rows = selections(residual=1.0)
    killed = answer_residual(rows, selections(seed=1, embedder="shuffled[tiny-embedder]"))
    assert killed.verdict.answer == "yes" and "kill it" in killed.verdict.sentence
    survived = answer_residual(rows, selections(residual=1.0, seed=1, embedder="shuffled[tiny-embedder]"))
    assert survived.verdict.answer == "no" and "not the embedding" in survived.verdict.sentence


@pytest.mark.parametrize("other", [{"pool_k": 50}, {"max_tokens": 64}, {"embedder": "shuffled[another]"}])
def test_only_what_differs_in_its_embedder_alone_is_the_control(other):
    scope = {"pool_k": 200, "max_tokens": 512}
    rows = selections(residual=1.0, **scope)
    control = selections(seed=1, **{**scope, "embedder": "shuffled[tiny-embedder]"})
    elsewhere = selections(residual=1.0, seed=1, **{**scope, "embedder": "shuffled[tiny-embedder]", **other})
    (found,) = find_in([*rows, *control, *elsewhere], {}).scopes
    assert found.residual.verdict.answer == "yes" and "kill it" in found.residual.verdict.sentence
    alone = find_in([*rows, *elsewhere], {})
    assert alone.scopes[0].residual.shuffled is None and "shuffled embeddings" in alone.warnings[0]


def test_a_control_from_another_device_counts_where_devices_are_compared():
    rows = selections(residual=1.0, device="one")
    rows += selections(seed=1, embedder="shuffled[tiny-embedder]", device="two")
    assert find_in(rows, {}).scopes[0].residual.shuffled is None
    assert find_in(rows, {}, across_devices=True).scopes[0].residual.shuffled is not None


def test_too_few_prompts_decide_nothing():
    verdict = answer_residual(selections(n=6, residual=1.0)).verdict
    assert verdict.answer == "not decided" and "6 of the 30 prompts" in verdict.sentence
    assert answer_residual([]).verdict.answer == "not decided"


def interval(low, high, n=60):
    return Interval((low + high) / 2, low, high, n, n)


@pytest.mark.parametrize(
    ("within", "partial", "shuffled", "answer"),
    [
        (interval(-0.4, -0.2), interval(-0.3, -0.1), None, "yes"),
        (interval(-0.4, -0.2), interval(-0.3, 0.1), None, "partly"),
        (interval(-0.4, -0.2), interval(-0.3, -0.1), interval(-0.1, 0.1), "yes"),
        (interval(-0.4, -0.2), interval(-0.3, -0.1), interval(-0.4, -0.2), "no"),
        (interval(-0.4, -0.2), interval(-0.3, -0.1), interval(-0.4, 0.4), "not decided"),
        (interval(-0.4, -0.2), interval(-0.3, -0.1), interval(-0.1, 0.1, n=5), "not decided"),
        (interval(-0.05, 0.05), interval(-0.05, 0.05), None, "no"),
        (interval(0.2, 0.4), interval(0.2, 0.4), None, "no"),
        (interval(-0.3, 0.1), interval(-0.3, 0.1), None, "not decided"),
        (Interval(-0.5, None, None, 60, 60, Outcome.UNSTABLE), interval(-0.3, -0.1), None, "not decided"),
    ],
)
def test_the_rule(within, partial, shuffled, answer):
    assert judge(within, partial, shuffled).answer == answer


def test_budgets_are_held_fixed_because_they_move_both():
    """With the budget, residuals fall and gains rise; within a budget, nothing links them."""
    draw = np.random.default_rng(2)
    rows = [
        row(f"s{item}", p, 90 - budget + draw.normal(), budget=budget, residual=1 / budget + 0.01 * draw.normal())
        for p in range(60)
        for budget in (1, 5, 20)
        for item in range(6)
    ]
    answer = answer_residual(rows)
    assert answer.across_budgets.mean.below(-0.5)
    assert not answer.within_budget.mean.below(-0.1) and answer.verdict.answer != "yes"


def test_equal_picks_count_once_and_constants_have_no_rho():
    same = [row(f"s{i}", 0, 80.0 - i, residual=float(i), document_ids=[1]) for i in range(9)]
    assert within_prompts("x", same, column("residual"), column("bpb_pct")).prompts == ()
    flat = [row(f"s{i}", 0, 80.0 - i, residual=1.0, document_ids=[i]) for i in range(9)]
    found = within_prompts("x", flat, column("residual"), column("bpb_pct"))
    assert found.prompts == () and found.mean.outcome is Outcome.NO_DATA


def test_the_partial_correlation_is_that_of_the_ranks_residuals():
    draw = np.random.default_rng(5)
    z = draw.normal(size=30)
    x, y = z + draw.normal(size=30), z + draw.normal(size=30)
    rows = [row(f"s{i}", 0, 80.0, residual=x[i], gap=y[i], objective=z[i], document_ids=[i]) for i in range(30)]
    (found,) = within_prompts("x", rows, column("residual"), column("gap"), column("objective")).prompts
    ranks = [np.argsort(np.argsort(values)).astype(float) for values in (x, y, z)]
    left = [values - np.polyval(np.polyfit(ranks[2], values, 1), ranks[2]) for values in ranks[:2]]
    assert found.rho == pytest.approx(np.corrcoef(*left)[0, 1])


def test_alignment_from_its_side_file(tmp_path):
    rows = selections(residual=1.0)
    lines = [
        json.dumps({"cell_id": r["cell_id"], "alignment": 1 - r["residual"] / 4, "weights": "last layer"}) for r in rows
    ]
    lines[0] = json.dumps({"cell_id": rows[0]["cell_id"], "alignment": None})
    (tmp_path / "alignment.jsonl").write_text("\n".join(lines) + '\n{"cell_id": "torn', encoding="utf-8")
    found, warnings = read_alignment(tmp_path)
    assert len(found) == len(rows) - 1 and len(warnings) == 1
    answer = answer_residual(with_alignment(rows, found))
    assert answer.residual_alignment.mean.value == pytest.approx(-1.0)
    assert answer.alignment_gain.mean.above(0.5)
    assert "gradient alignment and gain" in "\n".join(residual_lines(answer))
    assert read_alignment(tmp_path / "nowhere") == ({}, [])
    assert answer_residual(rows).alignment_gain is None


@pytest.mark.parametrize(
    "line", ['{"alignment": 0.1}', '{"cell_id": "a", "alignment": 1.5}', '{"cell_id": "a", "alignment": "x"}']
)
def test_a_side_file_that_makes_no_sense_is_refused(tmp_path, line):
    (tmp_path / "alignment.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"alignment\.jsonl.*record 1"):
        read_alignment(tmp_path)
