"""Suites with variants: one folder each, one run of them all, nothing mixed up."""

from __future__ import annotations

import dataclasses
import json

import pytest

from reporters import Log
from ttft_bench.errors import ResumeError, SuiteError, UsageError
from ttft_bench.report.analysis import analyse
from ttft_bench.sweep import store
from ttft_bench.sweep.parts import Variant
from ttft_bench.sweep.request import Request
from ttft_bench.sweep.run import run_selection, run_sweep
from ttft_bench.sweep.suite import ControlSpec, CorpusSpec, ModelSpec, PoolSpec, SelectSpec, Suite, load_suite
from ttft_bench.sweep.variants import VARIANTS, requests, run_all

VARIED = (
    Variant("small", {"pool": {"k": 5}}),
    Variant("lora", {"finetune": {"trainable": "last[k=1]"}, "select": {"arms": ("finetune",)}}),
)


@pytest.fixture(scope="module")
def suite(tiny_model_dir, tiny_embedder_dir, tiny_corpus_file, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TTFT_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield Suite(
            "varied",
            corpus=CorpusSpec(str(tiny_corpus_file), prompts_per_subset=1),
            pool=PoolSpec(str(tiny_embedder_dir), k=20),
            select=SelectSpec(("knn",), budgets=(2,), reuse=(1,), arms=("none", "finetune")),
            controls=(ControlSpec("random-corpus", "random"),),
            model=ModelSpec(str(tiny_model_dir), max_tokens=32),
            variants=VARIED,
        )


def test_every_variant_is_a_run_and_together_they_are_one(suite, tmp_path):
    run_all(run_selection, Request(suite, tmp_path / "picks"), Log())
    request = Request(suite, tmp_path / "run", device="cpu", picks=tmp_path / "picks")
    outcome = run_all(run_sweep, request, Log(), merge=True)
    merged = store.load_run(tmp_path / "run")
    parts = {label: store.load_run(tmp_path / "run" / VARIANTS / label).rows for label in ("small", "lora")}
    assert len(merged.rows) == sum(map(len, parts.values())) == outcome.ok == 10 and outcome.failed == 0
    knn = {(row["pool_k"], row["trainable"]) for row in merged.rows if row["strategy"] == "knn"}
    assert knn == {(5, "full"), (20, "last")} and {row["suite"] for row in merged.rows} == {"varied"}
    assert merged.manifest["variants"] == ["small", "lora"]

    analysis = analyse(merged.rows, merged.manifest)
    names = {group.key.strategy: group.control for group in analysis.groups}
    assert names["knn {pool_k=5}"] is False and names["knn {pool_k=20}"] is False, "no mean over variants"
    assert names["random-corpus {pool_k=5}"] is True and not analysis.mixed

    before = (tmp_path / "run" / store.RESULTS).read_bytes()
    log = Log()
    chosen = dataclasses.replace(request, suite=dataclasses.replace(suite, variants=VARIED[:1]))
    run_all(run_sweep, chosen, log, merge=True)
    assert any("0 to go" in note for note in log.notes), "a variant goes on where it was"
    assert (tmp_path / "run" / store.RESULTS).read_bytes() == before, "the others stay in"


def test_a_variant_that_cannot_be_run_does_not_stop_the_others(suite, tmp_path):
    broken = dataclasses.replace(suite, variants=(Variant("no-model", {"model": {"name": "./none"}}), VARIED[0]))
    log = Log()
    with pytest.raises(Exception, match="none"):
        run_all(run_sweep, Request(broken, tmp_path / "run", device="cpu"), log, merge=True)
    assert {row["pool_k"] for row in store.load_run(tmp_path / "run").rows} >= {5}
    assert any(note.startswith("variant no-model cannot be run") for note in log.notes)


def test_another_run_is_never_replaced(suite, tmp_path):
    store.write_manifest(tmp_path, {"run_id": "mine", "state": "finished"})
    with pytest.raises(ResumeError, match="none of variants"):
        run_all(run_sweep, Request(suite, tmp_path), Log(), merge=True)
    assert json.loads((tmp_path / store.MANIFEST).read_text())["run_id"] == "mine"


def test_without_variants_nothing_changes(suite, tmp_path):
    plain = dataclasses.replace(suite, variants=())
    assert requests(Request(plain, tmp_path)) == [("", Request(plain, tmp_path))]


FILE = '[select]\nstrategies = ["knn"]\n[[variants]]\nlabel = "a"\npool.k = 50\n[[variants]]\nlabel = "b"\n'


def test_variants_are_read_from_a_file(tmp_path):
    file = tmp_path / "varied.toml"
    file.write_text(FILE + "finetune.lr = 1\nselect.budgets = [3]\n")
    runs = dict(load_suite(str(file)).runs())
    assert (runs["a"].pool.k, runs["a"].select.budgets) == (50, SelectSpec().budgets)
    assert (runs["b"].pool.k, runs["b"].finetune.lr, runs["b"].select.budgets) == (200, 1.0, (3,))
    assert all(not run.variants and run.name == "varied" for run in runs.values())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "variant b changes nothing"),
        ("pool.q = 1", r"unknown key variants\[1\]\.pool\.q"),
        ("pol.k = 1", r"unknown key variants\[1\]\.pol: did you mean variants\[1\]\.pool"),
        ("pool.k = 'x'", r"variants\[1\]\.pool\.k must be int"),
        ("pool.k = 0", r"variant b: pool\.k must be at least 1"),
        ("pool.k = 1\n[[variants]]\nlabel = 'a'\npool.k = 2", "variant a is given twice"),
        ("pool.k = 1\n[[variants]]\nlabel = '../a'\npool.k = 2", "it names a folder"),
        ("pool.k = 1\n[[variants]]\npool.k = 2", r"variants\[2\] lacks label"),
    ],
)
def test_bad_variants_are_named(tmp_path, line, message):
    file = tmp_path / "varied.toml"
    file.write_text(FILE + line + "\n")
    with pytest.raises(SuiteError, match=message):
        load_suite(str(file))


def test_a_flag_reaches_every_variant_but_not_what_varies(tmp_path):
    from ttft_bench.cli.options import resolve_suite

    file = tmp_path / "varied.toml"
    file.write_text(FILE + "pool.k = 100\n")
    found = resolve_suite("", file, budgets="7", variants="b")
    assert [(label, run.pool.k, run.select.budgets) for label, run in found.runs()] == [("b", 100, (7,))]
    with pytest.raises(UsageError, match=r"varies pool\.k itself.*--variants a,b"):
        resolve_suite("", file, pool_k=9)
    with pytest.raises(UsageError, match="no variant 'c'"):
        resolve_suite("", file, variants="c")
