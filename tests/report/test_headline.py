"""The first sentence of a report: the best setting beside the control, decided prompt by prompt."""

from __future__ import annotations

import re
from typing import Any

import pytest

from paired_rows import rows
from ttft_bench.report.analysis import analyse
from ttft_bench.report.findings import find_in
from ttft_bench.report.paired.compare import compare_best
from ttft_bench.report.paired.prompts import by_setting
from ttft_bench.report.stats import settle
from ttft_bench.report.summary import summarise, summarise_views
from ttft_bench.report.view import views

UNSHOWN = "this run does not show that choosing what to train on helps"


def said(data: list[dict[str, Any]]) -> str:
    return summarise(analyse(data, {}), settle(data))


def said_of_views(data: list[dict[str, Any]], manifest: dict[str, Any]) -> str:
    return summarise_views(views(data, manifest, find_in(data, manifest)))


def test_better_on_every_prompt_is_better_though_the_intervals_overlap() -> None:
    data = rows({"knn": 88.0, "random-corpus": 90.0})
    best, control = (group.bpb for group in analyse(data, {}).groups)
    assert best is not None and control is not None and best.overlaps(control)
    found = said(data)
    assert "the control random-corpus (N = 10) is at 9" in found
    apart = r"; prompt by prompt, knn \(N = 10\) is (1\.9|2\.0)\d below it \(in points of BPB%; 95 % interval 2\."
    assert re.search(apart, found)
    assert found.endswith("): it is better.") and UNSHOWN not in found and "overlap" not in found


@pytest.mark.parametrize(
    ("level", "noise", "end"),
    [
        (90.1, 0.3, f"the two are equivalent (within ±0.5 points), so {UNSHOWN}."),
        (90.8, 6.0, f"which of the two is better is not decided, so {UNSHOWN}."),
        (80.0, 0.3, "it is worse, and random documents did better than chosen ones."),
    ],
)
def test_what_the_paired_test_does_not_show_is_not_claimed(level: float, noise: float, end: str) -> None:
    assert said(rows({"knn": 90.0, "random-corpus": level}, noise=noise)).endswith(end)


def test_few_prompts_are_a_sign_of_life() -> None:
    end = "is not decided (6 of the 30 prompts that are needed), and this is a sign of life, not a result."
    assert said(rows({"knn": 70.0, "random-corpus": 90.0}, n=6)).endswith(end)


def test_a_control_on_other_prompts_is_not_compared() -> None:
    data = [*rows({"knn": 80.0}, n=4), *({**row, "prompt_id": f"x{place}"} for place, row in enumerate(_floor()))]
    assert said(data).endswith("and no prompt was measured with both.")


def _floor() -> list[dict[str, Any]]:
    return rows({"random-corpus": 90.0}, n=4)


@pytest.mark.parametrize("changes", [{"lr": 5e-4, "trainable": "lora"}, {"arm": "in-context+finetune"}])
def test_the_control_is_trained_as_the_best_was(changes: dict[str, Any]) -> None:
    data = rows({"knn": 80.0, "random-corpus": 91.0}, n=8)
    data += rows({"knn": 85.0, "random-corpus": 93.0, "sift": 86.0}, n=8, **changes)
    analysis = analyse(data, {})
    assert analysis.best is not None and analysis.control is not None
    assert (analysis.control.key.arm, analysis.control.key.lr) == (analysis.best.key.arm, analysis.best.key.lr)
    other = [
        row for row in data if row["strategy"] != "random-corpus" or row["arm"] + row["trainable"] != "finetunefull"
    ]
    assert analyse(other, {}).control is not None, "one that was trained in another way is better than none"


def test_the_untouched_model_is_no_control_of_choosing() -> None:
    data = rows({"knn": 80.0}, n=8) + rows({"none": 100.0}, n=8, arm="none", lr=None, trainable="")
    assert analyse(data, {"plan": {"controls": ["none"]}}).control is None


def test_variants_have_their_own_best_and_control() -> None:
    levels = {"A": {"knn": 80.0, "random-corpus": 90.0, "sift": 81.0}, "B": {"knn": 60.0, "random-corpus": 99.0}}
    data = [row for model, means in levels.items() for row in rows(means, model=model)]
    found = said_of_views(data, {"variants": ["A", "B"], "plan": {"controls": ["random-corpus"]}})
    assert found.startswith("With model=A: over 60 prompts the lowest mean of 2 settings is that of knn (N = 10)")
    assert "; prompt by prompt, knn (N = 10) is 10." in found and found.endswith("it is better.")


def test_a_scope_in_which_everything_failed_is_not_the_headline() -> None:
    failed = rows({"knn": 80.0, "sift": 80.0}, n=8, device="cuda", status="oom")
    found = said_of_views([*failed, *rows({"knn": 80.0}, n=8, device="cpu")], {})
    assert found.startswith("With device=cpu: 8 prompts cannot rank")


def test_the_best_of_many_is_not_better_by_the_luck_of_the_choice() -> None:
    data = settle(rows({"reference": 80.0, **{f"s{place}": 80.0 for place in range(12)}}, noise=2.0))
    keys = {key.strategy: key for key in by_setting(data)}
    among = [key for name, key in keys.items() if name != "reference"]
    best = min(among, key=lambda key: compare_best(key, [], data, keys["reference"]).difference.value or 0.0)
    alone, corrected = (compare_best(best, part, data, keys["reference"]) for part in ([], among))
    assert alone.by_group.wilcoxon == corrected.by_group.wilcoxon and alone.difference == corrected.difference
    assert corrected.by_group.wilcoxon_holm.p == pytest.approx(min(1.0, 12 * alone.by_group.wilcoxon_holm.p))
