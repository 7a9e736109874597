"""The commands as a user types them: output, exit codes, and every kind of bad input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from documented import assert_documented
from ttft_bench.cli.options import parse_numbers
from ttft_bench.errors import UsageError
from ttft_bench.sweep import store


def test_a_sweep_writes_everything_and_prints_a_table(invoke, tiny, tmp_path):
    result = invoke("sweep", "--config", tiny, "-o", "run", "--device", "cpu")
    assert result.code == 0, result.err
    assert "knn" in result.out and "random-corpus" in result.out and "BPB%" in result.out
    assert result.err.startswith("suite tiny: knn, sift; budgets 1,2; reuse 1,2; into run")
    for name in ("manifest.json", "results.jsonl", "results.csv", "results.parquet", "report.html"):
        assert (tmp_path / "run" / name).stat().st_size > 0
    assert (tmp_path / "run" / "figures" / "quality_vs_time.svg").exists()
    again = invoke("report", "run")
    assert again.code == 0 and "knn" in again.out


def test_flags_override_the_suite_file(invoke, tiny, tmp_path):
    flags = ("--strategies", "sift[lam=1]", "--budgets", "2-3", "--reuse", "1", "--subsets", "greek", "--seed", "4")
    more = ("--lr", "1e-4", "--max-tokens", "32", "--pool-k", "9", "--bpb-protocol", "document", "--limit", "1")
    result = invoke("sweep", "--config", tiny, "-o", "run", "--device", "cpu", *flags, *more)
    assert result.code == 0, result.err
    rows = [row for row in store.load_run(tmp_path / "run").rows if row["strategy"] != "random-corpus"]
    assert {(row["strategy"], row["budget"]) for row in rows} == {("sift[lam=1.0]", 2), ("sift[lam=1.0]", 3)}
    expected = {"subset": "greek", "seed": 4, "lr": 1e-4, "max_tokens": 32, "pool_k": 9, "bpb_protocol": "document"}
    assert all(row[key] == value for row in rows for key, value in expected.items())


def test_flags_of_the_engine(invoke, tiny, tmp_path):
    flags = ("--lr", "1e-4,1e-3", "--optimizer", "adamw", "--trainable", "last[k=1]", "--clip", "1", "--batch", "2")
    more = ("--long", "chunk", "--arms", "none,finetune,in-context", "--reuse-mode", "cached,skip", "--lanes", "2")
    result = invoke("sweep", "--config", tiny, "-o", "run", "--device", "cpu", "--backend", "eager", *flags, *more)
    assert result.code == 0, result.err
    rows = store.load_run(tmp_path / "run").rows
    assert {row["lr"] for row in rows} == {None, 1e-4, 1e-3} and {row["lanes"] for row in rows} == {2}
    assert {row["arm"] for row in rows} == {"none", "finetune", "in-context"}
    trained = [row for row in rows if row["arm"] == "finetune"]
    assert {(row["trainable"], row["long"], row["backend"]) for row in trained} == {("last", "chunk", "eager")}
    assert {row["optimizer"] for row in trained} == {
        "adamw[betas=0.9,0.999;eps=1e-08;weight_decay=0.01;clip=1;batch=2]"
    }


def test_dry_run_prints_the_plan_and_writes_nothing(invoke, tiny, tmp_path):
    result = invoke("sweep", "--config", tiny, "-o", "run", "--dry-run", "--device", "cpu")
    assert result.code == 0, result.err
    assert "2 prompts, 14 cells, 0 done, 14 to go\n" in result.out
    time = next(line for line in result.out.splitlines() if line.startswith("time: "))
    assert re.fullmatch(r"time: about \d+\.\d min of finetuning, on this machine if it is otherwise idle", time)
    assert "strategy knn (ttft-bench 0.1.0): budgets 1,2; reuse 1; 4 cells" in result.out, "it picks nothing twice"
    assert not (tmp_path / "run").exists()


def test_dry_run_says_what_its_estimate_leaves_out_and_where_texts_are_cut(invoke, tiny):
    tiny.write_text(tiny.read_text().replace("max_tokens = 48", "max_tokens = 4096"))
    result = invoke(
        "sweep", "--config", tiny, "--dry-run", "--device", "cpu", "--backend", "compiled", "--precision", "tf32"
    )
    assert "tf32 is a precision of NVIDIA GPUs: on cpu steps are in fp32" in result.err
    assert re.search(r"time: about \d+\.\d min of finetuning and what compiling takes, on this machine", result.out)
    assert re.search(r"takes \d+ tokens: texts are cut there, not at 4096", result.err), result.err


def test_dry_run_of_a_finished_run_has_nothing_to_go(invoke, tiny):
    command = ("sweep", "--config", tiny, "-o", "run", "--device", "cpu")
    assert_documented("sweep --dry-run", json.loads(invoke(*command, "--dry-run", "--json").out))
    first = invoke(*command, "--json", "--quiet")
    assert first.code == 0 and first.err == "", "quiet is quiet, libraries included"
    assert_documented("sweep", json.loads(first.out))
    assert re.search(r"2 prompts, (\d+) cells, \1 done, 0 to go\n", invoke(*command, "--dry-run").out)
    picked = invoke("select", "--config", tiny, "-o", "picks", "--json")
    assert picked.code == 0
    assert_documented("select", json.loads(picked.out))
    stored = invoke("sweep", "--config", tiny, "--picks", "picks", "-o", "run", "--device", "cpu", "--dry-run")
    assert re.search(r"2 prompts, (\d+) cells, \1 done, 0 to go\n", stored.out)
    other = invoke(*command, "--dry-run", "--pool-k", "9")
    assert other.code == 2 and "pool_k was 20, now 9" in other.err, "told before the sweep would refuse"


def test_prompts_per_subset_replaces_what_the_suite_says(invoke, tiny):
    flags = ("--prompts-per-subset", "2", "--strategies", "knn", "--budgets", "1", "--reuse", "1")
    result = invoke("sweep", "--config", tiny, "-o", "run", "--dry-run", "--device", "cpu", *flags)
    assert "4 prompts, 6 cells" not in result.out and "4 prompts, 8 cells, 0 done, 8 to go" in result.out, result.out


def test_subsets_of_a_suite_go_with_its_corpus(invoke, tiny, tiny_corpus_file, tmp_path):
    tiny.write_text(tiny.read_text().replace("prompts_per_subset = 1", 'prompts_per_subset = 1\nsubsets = ["greek"]'))
    mine = tmp_path / "mine.jsonl"
    mine.write_bytes(tiny_corpus_file.read_bytes())
    command = ("sweep", "--config", tiny, "-o", "run", "--dry-run", "--device", "cpu")
    assert "1 prompts" in invoke(*command).out
    assert "2 prompts" in invoke(*command, "--corpus", str(mine)).out


def test_select_then_sweep_from_the_picks(invoke, tiny, tmp_path):
    result = invoke("select", "--config", tiny, "-o", "picks")
    assert result.code == 0 and "10 selections in picks" in result.out, result.err
    result = invoke(
        "sweep", "--config", tiny, "--picks", "picks", "--strategies", "knn", "-o", "run", "--device", "cpu"
    )
    assert result.code == 0, result.err
    rows = store.load_run(tmp_path / "run").rows
    assert {row["strategy"] for row in rows} == {"knn", "random-corpus"}


def test_the_default_output_is_named_after_date_and_suite(invoke, tiny, tmp_path):
    assert invoke("sweep", "--config", tiny, "--limit", "1", "--budgets", "1", "--device", "cpu").code == 0
    (folder,) = (tmp_path / "reports").iterdir()
    assert folder.name[4] == folder.name[7] == "-" and folder.name.endswith("_tiny")


def test_a_curated_record_is_never_written_to(invoke, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("ttft_bench.cli.resolving._today", lambda: "2026-01-02")  # midnight may pass in between
    command = ("sweep", "--config", tiny, "--limit", "1", "--budgets", "1", "--device", "cpu")
    assert invoke(*command).code == 0
    (folder,) = (tmp_path / "reports").iterdir()
    assert "0 to go" in invoke(*command).err, "the same command again goes on with its own run"
    (folder / store.DOCUMENTS).unlink()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    result = invoke(*command)
    assert result.code == 0 and "0 to go" not in result.err
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert (tmp_path / "reports" / f"{folder.name}-2" / store.RESULTS).stat().st_size


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--strategies", "hulft"), 3, "unknown strategy 'hulft'"),
        (("--strategies", "hulft"), 3, "hullft"),
        (("--strategies", "sift[lamb=1]"), 2, "lam"),
        (("--strategies", "sift[lam=1"), 2, "sift[lam=1"),
        (("--strategies", ""), 2, "strateg"),
        (("--strategies", "knn,knn"), 2, "knn is given twice"),
        (("--budgets", "0"), 2, "budget '0' must be at least 1"),
        (("--budgets", "-3"), 2, "budget '-3' is not a whole number of at least 1"),
        (("--budgets", "1.5"), 2, "budget '1.5' is not a whole number"),
        (("--budgets", "20-10"), 2, "ascending"),
        (("--budgets", "²"), 2, "not a whole number"),
        (("--reuse", "0"), 2, "reuse interval '0'"),
        (("--seed", str(2**63)), 2, "seed must be a whole number of at most 64 bits"),
        (("--reuse-grouping", "sideways"), 2, "runs, global"),
        (("--pool-k", "0"), 2, "pool.k must be at least 1"),
        (("--limit", "0"), 2, "--limit"),
        (("--max-tokens", "1"), 2, "model.max_tokens must be at least 2"),
        (("--lr", "0"), 2, "lr must be a finite number above 0"),
        (("--lr", "inf"), 2, "lr must be a finite number above 0"),
        (("--lr", "fast"), 2, "learning rate 'fast' is not a number"),
        (("--trainable", "lora[rank=4]"), 2, "lora has no parameter 'rank'"),
        (("--trainable", "nonsense"), 2, "unknown trainable set 'nonsense'"),
        (("--trainable", "last[k=9]"), 2, "last[k=9]: GPT2LMHeadModel has 2 blocks"),
        (("--trainable", "lora[targets=q_proj]"), 2, "no layer of GPT2LMHeadModel fits (it has: c_attn, c_fc, c_proj"),
        (("--optimizer", "sgd[momentum=1]"), 2, "momentum must be in [0, 1)"),
        (("--clip", "nan"), 2, "clip must be a finite number above 0"),
        (("--batch", "0"), 2, "batch must be at least 1"),
        (("--select-timeout", "0"), 2, "select.timeout_s must be above 0"),
        (("--pool-source", "web"), 2, "embedding, random, bm25"),
        (("--variants", "k50"), 2, "has no variant 'k50'"),
        (("--subsets", ""), 2, "corpus.subsets must name a subset"),
        (("--model", "."), 4, "has no config.json and no *.safetensors"),
        (("--optimizer", "adan"), 2, "did you mean 'adam'"),
        (("--arms", "zero-shot"), 2, "finetune, none, in-context"),
        (("--reuse-mode", "twice"), 2, "cached, skip, scale-lr, weighted-loss"),
        (("--backend", "jit"), 2, "auto, eager, compiled"),
        (("--lanes", "0"), 2, "--lanes"),
        (("--long", "fold"), 2, "truncate, chunk"),
        (("--budgets", "99999999"), 2, "budgets must be at most 10000"),
        (("--budgets", "1-999999"), 2, "name fewer"),
        (("--bpb-protocol", "nats"), 2, "window, document"),
        (("--precision", "fp8"), 2, "fp32, tf32, bf16"),
        (("--device", "cuda:9"), 2, "device 'cuda:9'"),
        (("--suite", "quikc"), 2, "quick"),
        (("--config", "missing.toml"), 2, "missing.toml does not exist"),
        (("--subsets", "greek,latin"), 4, "latin"),
        (("--corpus", "nowhere.jsonl"), 4, "nowhere.jsonl"),
        (("--model", "no/such-model"), 4, "no/such-model"),
        (("--embedder", "no/such-embedder"), 4, "no/such-embedder"),
        (("--picks", "nowhere"), 4, "holds no picks"),
        (("--no-such-flag",), 2, "No such option"),
    ],
)
def test_bad_flags_say_what_and_exit_as_documented(invoke, tiny, tmp_path, monkeypatch, flags, code, words):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # or it tries for half a minute
    base = () if flags[0] in ("--config", "--suite") else ("--config", tiny)
    command = ("sweep", *base, "-o", "run", *(() if flags[0] == "--device" else ("--device", "cpu")), *flags)
    result = invoke(*command)
    assert result.code == code, (result.code, result.err)
    assert words in result.err
    assert "Traceback" not in result.err and result.out == ""
    assert not (tmp_path / "run" / store.RESULTS).exists()
    planned = invoke(*command, "--dry-run")
    told = result.err[result.err.find("error: ") :]
    assert (planned.code, planned.out) == (code, "") and planned.err.endswith(told), "a dry run says what the run says"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b'{"text": "only one"}\n', "one"),
        (b'{"text": "a"}\n{"txt": "b"}\n', "line 2"),
        (b'{"text": "a"}\n{"text": "\xff\xfe"}\n', "UTF-8"),
        (b'{"text": "a"}\n{"text": 3}\n', "line 2"),
        (b'{"text": "a"}\n{"text": "b \\ud800"}\n', "document 2 holds a lone surrogate"),
    ],
)
def test_bad_corpora_exit_4_with_file_and_reason(invoke, tiny, tmp_path, content, words):
    (tmp_path / "c.jsonl").write_bytes(content)
    result = invoke("sweep", "--config", tiny, "--corpus", "c.jsonl", "-o", "run", "--device", "cpu")
    assert result.code == 4, result.err
    assert words in result.err and "Traceback" not in result.err


def test_documents_of_one_token_are_trained_and_scored(invoke, tiny, tmp_path):
    lines = [json.dumps({"text": chr(97 + i)}) for i in range(12)]
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    result = invoke("sweep", "--config", tiny, "--corpus", "c.jsonl", "-o", "run", "--device", "cpu")
    assert result.code == 0, result.err
    rows = store.load_run(tmp_path / "run").rows
    assert rows and all(row["tokens_scored"] == row["bytes_scored"] == 1 for row in rows)


def test_identical_documents_are_one_document_and_near_ones_a_pool(invoke, tiny, tmp_path):
    lines = [json.dumps({"text": "alpha beta " + "." * i}) for i in range(1, 12)] + [
        json.dumps({"text": "gamma delta"})
    ] * 9
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    flags = ("--strategies", "hullft,sift,knn,exact-qp", "--budgets", "1,5")
    result = invoke("sweep", "--config", tiny, "--corpus", "c.jsonl", "-o", "run", "--device", "cpu", *flags)
    assert result.code == 0, result.err


def test_a_failing_cell_exits_1_and_keeps_the_others(invoke, tiny, tmp_path, monkeypatch):
    from ttft_bench.engine.eager import EagerBackend

    real, calls = EagerBackend._loss, []

    def faulty(self, batch):
        calls.append(1)
        return real(self, batch) * (float("nan") if len(calls) == 5 else 1.0)

    monkeypatch.setattr(EagerBackend, "_loss", faulty)
    result = invoke("sweep", "--config", tiny, "-o", "run", "--device", "cpu")
    assert result.code == 1 and "cells failed" in result.err
    rows = store.load_run(tmp_path / "run").rows
    assert {row["status"] for row in rows} == {"ok", "failed"}
    assert "loss is nan" in result.out + (tmp_path / "run" / "report.html").read_text()


def test_an_output_that_cannot_be_written(invoke, tiny, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = invoke("sweep", "--config", tiny, "-o", "file/run", "--device", "cpu")
    assert result.code == 4 and "another --output" in result.err


def test_a_dry_run_refuses_the_folder_that_the_run_would_refuse(invoke, tiny, tmp_path):
    command = ("sweep", "--config", tiny, "-o", "run", "--device", "cpu", "--strategies", "knn", "--budgets", "1")
    assert invoke(*command).code == 0
    assert invoke("select", "--config", tiny, "-o", "picks").code == 0
    (tmp_path / "file").write_text("in the way")
    dropout = tmp_path / "dropout.toml"
    dropout.write_text(tiny.read_text() + "[finetune]\ndropout = true\n")
    stored = ("sweep", "--config", tiny, "-o", "other", "--device", "cpu", "--picks", "picks")
    for refused, code, words in (
        ((*command, "--optimizer", "sgd"), 2, "optimizer was 'adam"),
        ((*command, "--backend", "compiled"), 2, "backend was 'eager', now 'compiled'"),
        ((*command, "-o", "file"), 4, "cannot write file: File exists"),
        ((*command, "-o", "file/run"), 4, "cannot write file/run: Not a directory"),
        ((*stored, "--subsets", "latin"), 4, "no picks for --subsets latin (it has greek,letters)"),
        ((*stored, "--config", dropout, "--lanes", "2"), 2, "dropout needs one lane"),
    ):
        for result in (invoke(*refused), invoke(*refused, "--dry-run")):
            assert result.code == code and words in result.err, result.err


def test_two_sweeps_into_one_folder_the_second_refuses(invoke, tiny, tmp_path):
    code = (
        "import sys; from pathlib import Path; from ttft_bench.sweep import store\n"
        "with store.writing(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run")], stdin=-1, stdout=-1, text=True)
    try:
        holder.stdout.readline()
        result = invoke("sweep", "--config", tiny, "-o", "run", "--device", "cpu")
        assert result.code == 2 and f"process {holder.pid}" in result.err
    finally:
        holder.communicate("")


def test_ctrl_c_keeps_everything_says_how_to_go_on_and_exits_130(tiny, tmp_path):
    command = [sys.executable, "-m", "ttft_bench", "sweep", "--config", str(tiny), "-o", str(tmp_path / "run")]
    command += ["--device", "cpu", "--strategies", "hullft,knn", "--budgets", "1-20"]
    process = subprocess.Popen(command, stdout=-1, stderr=-1, text=True, cwd=tmp_path)
    results = tmp_path / "run" / store.RESULTS
    give_up = time.monotonic() + 240
    while not (results.exists() and results.stat().st_size) and process.poll() is None and time.monotonic() < give_up:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "To go on: ttft-bench sweep --config" in err and "Traceback" not in err
    kept = store.load_run(tmp_path / "run").rows
    assert kept and all(row["status"] == "ok" for row in kept)
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=400)
    assert done.returncode == 0, done.stderr
    assert "are done already" in done.stderr
    rows = store.load_run(tmp_path / "run").rows
    assert rows[: len(kept)] == kept and len(rows) > len(kept)


def test_a_killed_sweep_goes_on(tiny, tmp_path):
    command = [sys.executable, "-m", "ttft_bench", "sweep", "--config", str(tiny), "-o", str(tmp_path / "run")]
    command += ["--device", "cpu", "--strategies", "hullft", "--budgets", "1-20"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    results = tmp_path / "run" / store.RESULTS
    give_up = time.monotonic() + 240
    while not (results.exists() and results.stat().st_size) and process.poll() is None and time.monotonic() < give_up:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = store.load_run(tmp_path / "run").rows
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=400)
    assert done.returncode == 0, done.stderr
    rows = store.load_run(tmp_path / "run").rows
    assert kept and rows[: len(kept)] == kept


def test_numbers():
    assert parse_numbers("10-12,1, 5 ,11", "budget") == (1, 5, 10, 11, 12)
    for bad in ("", "a", "1,,2", "3-", "-", "0-2", "1e3"):
        with pytest.raises(UsageError, match="budget"):
            parse_numbers(bad, "budget")


def test_help_names_every_command(invoke):
    result = invoke("--help")
    assert result.code == 0
    for command in ("sweep", "select", "report", "verify", "strategies", "assets", "corpus"):
        assert command in result.out
    assert invoke("--version").out.startswith("ttft-bench ")


def test_python_dash_m_works_too():
    done = subprocess.run([sys.executable, "-m", "ttft_bench", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ttft-bench ")


@pytest.mark.parametrize(
    ("command", "words"),
    [("sweep", ["sift[lam=1]", "[reports/DATE_SUITE]"]), ("verify", ["hullft[cap=3]"]), ("check", ["sift[lam=1]"])],
)
def test_help_keeps_the_brackets_of_specs(invoke, command, words):
    text = " ".join(invoke(command, "--help").out.replace("│", " ").split())
    assert all(word in text for word in words)


def test_a_misspelt_asset_is_not_asked_of_a_hub(invoke, tiny):
    wrong = invoke("sweep", "--config", tiny, "--model", "smollm2-135m-instrct", "--dry-run", "--device", "cpu")
    assert wrong.code == 2 and "did you mean 'smollm2-135m-instruct'" in wrong.err
