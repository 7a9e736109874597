"""Settings of a suite that decide what stands in a pool: they reach picks, rows and identities."""

from __future__ import annotations

import dataclasses
import json

import pytest

from reporters import Log
from ttft_bench.corpus.leaks import PARAMETERS
from ttft_bench.errors import ResumeError, UsageError
from ttft_bench.prefix import halves
from ttft_bench.sweep import store
from ttft_bench.sweep.picks import read_picks
from ttft_bench.sweep.request import Request
from ttft_bench.sweep.run import plan_run, run_selection, run_sweep
from ttft_bench.sweep.suite import CorpusSpec, ModelSpec, PoolSpec, SelectSpec, Suite, load_suite


@pytest.fixture(scope="module")
def suite(tiny_model_dir, tiny_embedder_dir, tmp_path_factory):
    """Two prompts, one of which has a near-duplicate (id 0) among twelve training documents."""
    texts = [
        " ".join(f"{word}{number}" for word in ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"])
        for number in range(14)
    ]
    lines = [{"text": texts[0] + " iota", "group": "a", "split": "train"}]
    lines += [{"text": text, "group": str(number), "split": "train"} for number, text in enumerate(texts[2:])]
    lines += [{"text": text, "group": f"p{number}", "split": "prompt"} for number, text in enumerate(texts[:2])]
    file = tmp_path_factory.mktemp("corpus") / "near.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TTFT_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield Suite(
            "near",
            corpus=CorpusSpec(str(file)),
            pool=PoolSpec(str(tiny_embedder_dir), k=13),
            select=SelectSpec(("knn",), budgets=(13,), reuse=(1,)),
            model=ModelSpec(str(tiny_model_dir), max_tokens=64),
        )


def texts_of(folder):
    picks = read_picks(folder)
    return {
        prompt["text"]: {picks.texts[i] for i in record["document_ids"]}
        for record in picks.records.values()
        for prompt in (picks.prompts[record["prompt_id"]],)
    }


def test_near_duplicates_stay_out_and_everything_says_so(suite, tmp_path):
    without = suite.with_changes("pool", exclude_near_duplicates=True)
    run_selection(Request(suite, tmp_path / "with"), Log())
    run_selection(Request(without, tmp_path / "without"), Log())
    kept, out = texts_of(tmp_path / "with"), texts_of(tmp_path / "without")
    (leaked, clean) = sorted(kept)
    assert kept[leaked] - out[leaked] == {leaked + " iota"} and kept[clean] == out[clean]
    strata = {p["text"]: p["stratum"] for p in read_picks(tmp_path / "with").prompts.values()}
    assert strata == {leaked: "near", clean: "clean"}, "the stratum is that of the corpus, excluded or not"
    assert store.read_manifest(tmp_path / "without")["identity"]["excluded"] == PARAMETERS
    ids = [{cell.cell_id for cell in plan_run(Request(s, tmp_path / "new"), Log()).cells} for s in (suite, without)]
    assert not ids[0] & ids[1]
    with pytest.raises(ResumeError, match="excluded was ''"):
        run_selection(Request(without, tmp_path / "with"), Log())


def test_rows_carry_the_stratum_also_from_stored_picks(suite, tmp_path):
    without = suite.with_changes("pool", exclude_near_duplicates=True)
    small = dataclasses.replace(without, select=dataclasses.replace(suite.select, budgets=(1,)))
    run_selection(Request(small, tmp_path / "picks"), Log())
    elsewhere = small.with_changes("pool", exclude_near_duplicates=False)
    run_sweep(Request(elsewhere, tmp_path / "run", device="cpu", picks=tmp_path / "picks"), Log())
    rows = store.load_run(tmp_path / "run").rows
    assert {(row["stratum"], row["excluded"]) for row in rows} == {("near", PARAMETERS), ("clean", PARAMETERS)}
    near = next(row for row in rows if row["stratum"] == "near")
    assert 0.5 <= near["containment"] < 1 or near["containment"] == 1.0
    assert near["common_chars"] > 40


def test_the_source_of_pools_is_a_setting(suite, tmp_path):
    words = suite.with_changes("pool", source="bm25", k=3).with_changes("select", budgets=(1,))
    run_selection(Request(words, tmp_path / "picks"), Log())
    assert {record["pool"] for record in read_picks(tmp_path / "picks").records.values()} == {"bm25"}
    nearest = words.with_changes("pool", source="embedding")
    with pytest.raises(ResumeError, match="pool_source was 'bm25'"):
        run_selection(Request(nearest, tmp_path / "picks"), Log())
    run_sweep(Request(nearest, tmp_path / "run", device="cpu", picks=tmp_path / "picks"), Log())
    rows = store.load_run(tmp_path / "run").rows
    assert {(row["pool_source"], row["pool_k"]) for row in rows} == {("bm25", 3)}
    ids = [{cell.cell_id for cell in plan_run(Request(s, tmp_path / "new"), Log()).cells} for s in (words, nearest)]
    assert not ids[0] & ids[1] and {row["cell_id"] for row in rows} == ids[0]
    with pytest.raises(UsageError, match=r"pool\.source must be one of embedding, random, bm25, got 'nearest'"):
        suite.with_changes("pool", source="nearest")


def test_picks_of_early_runs_are_read_under_the_present_name(suite, tmp_path):
    small = suite.with_changes("select", budgets=(1,))
    run_selection(Request(small, tmp_path / "p"), Log())
    for name in (store.PICKS, store.DOCUMENTS):
        file = tmp_path / "p" / name
        file.write_text(file.read_text().replace('"embedding"', '"nearest"'))
    before = (tmp_path / "p" / store.PICKS).read_bytes()
    run_selection(Request(small, tmp_path / "p"), Log())
    assert (tmp_path / "p" / store.PICKS).read_bytes() == before, "and not made again"
    picks = read_picks(tmp_path / "p")
    assert {record["pool"] for record in picks.records.values()} == {"embedding"}
    assert all(set(prompt["pools"]) == {"embedding"} for prompt in picks.prompts.values())


def test_prefix_finds_by_the_first_half_and_scores_the_second(suite, tmp_path):
    prefix = suite.with_changes("score", protocol="prefix").with_changes("select", budgets=(1,))
    whole = prefix.with_changes("score", protocol="window")
    run_selection(Request(prefix, tmp_path / "picks"), Log())
    run_selection(Request(whole, tmp_path / "whole"), Log())
    hashes = [
        {prompt["pools"]["embedding"]["hash"] for prompt in read_picks(tmp_path / name).prompts.values()}
        for name in ("picks", "whole")
    ]
    assert not hashes[0] & hashes[1]
    run_sweep(Request(prefix, tmp_path / "run", device="cpu", picks=tmp_path / "picks"), Log())
    rows = store.load_run(tmp_path / "run").rows
    texts = {key: prompt["text"] for key, prompt in read_picks(tmp_path / "picks").prompts.items()}
    assert rows and {row["bpb_protocol"] for row in rows} == {"prefix"}
    assert all(row["bytes_scored"] == len(halves(texts[row["prompt_id"]])[1].encode()) for row in rows)
    for wrong, picks in ((prefix, "whole"), (whole, "picks")):
        with pytest.raises(UsageError, match="make the picks again"):
            plan_run(Request(wrong, tmp_path / "new", picks=tmp_path / picks), Log())


def test_the_pile_is_a_source_of_a_suite(suite, tmp_path):
    from pile_shards import SUBSETS, write_pile

    file = tmp_path / "mine.toml"
    file.write_text(
        f"""
        [corpus]
        source = "pile:{write_pile(tmp_path / "pile")}"
        subsets = ["Github", "ArXiv"]
        train_per_subset = 25
        prompts_per_subset = 1
        [pool]
        embedder = "{suite.pool.embedder}"
        k = 10
        index = "ivf[lists=5,probes=2]"
        [select]
        strategies = ["knn"]
        budgets = [3]
        [model]
        name = "{suite.model.name}"
        """
    )
    pile = load_suite(str(file))
    outcome = run_selection(Request(pile, tmp_path / "picks"), Log())
    picks = read_picks(tmp_path / "picks")
    assert (outcome.ok, outcome.failed) == (2, 0)
    assert {prompt["subset"] for prompt in picks.prompts.values()} == {"Github", "ArXiv"} < set(SUBSETS)
    assert {prompt["stratum"] for prompt in picks.prompts.values()} == {"clean"}
    assert store.read_manifest(tmp_path / "picks")["identity"]["index"] == "ivf[lists=5,probes=2]"
    flat = pile.with_changes("pool", index="flat")
    ids = [{cell.cell_id for cell in plan_run(Request(s, tmp_path / "new"), Log()).cells} for s in (pile, flat)]
    assert len(ids[0]) == 2 and not ids[0] & ids[1]
