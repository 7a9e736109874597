"""The adapt journey: a folder of notes, a prompt, what was picked, before and after, as text and as JSON."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from documented import assert_documented
from notes import PROMPT, notes
from ttft_bench.errors import UsageError

HOSTILE = "alpha beta \x1b[31mgamma\x07 delta epsilon \u202e zeta"


@pytest.fixture
def adapt(invoke, tmp_path, tiny_model_dir, tiny_embedder_dir, cache_dir, monkeypatch):
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(cache_dir))
    folder = tmp_path / "my-notes"
    folder.mkdir()
    for number, text in enumerate([*notes(8), HOSTILE]):
        (folder / f"{number}.md").write_text(text, encoding="utf-8")

    def run(*argv: str):
        names = ["--model", tiny_model_dir, "--embedder", tiny_embedder_dir, "--max-tokens", "48", "--lr", "1e-3"]
        return invoke("adapt", "--corpus", "my-notes", *names, *argv)

    return run


def test_the_journey(adapt):
    done = adapt(PROMPT, "--budget", "6", "--reuse", "2", "--strategy", "hullft", "--generate", "--max-new-tokens", "5")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert "adapted with hullft: 6 steps" in lines[0] and "gradients" in lines[0]
    assert lines[1].startswith("bits per byte of the prompt: ") and "before" in lines[1] and "after" in lines[1]
    assert "The benchmark's measure: the prompt itself is scored, after training on its neighbours" in lines[2]
    header = next(line for line in lines if "similarity" in line)
    assert header.split() == ["steps", "similarity", "weight", "rank", "tokens", "from", "text"]
    assert "9.md" not in done.out and ".md" in done.out
    assert "continued, before:" in lines and "continued, after:" in lines
    assert any(line.startswith("embed ") and "finetune" in line for line in lines)


def test_nothing_from_a_corpus_steers_a_terminal(adapt):
    done = adapt(PROMPT, "--budget", "9", "--strategy", "knn")
    assert done.code == 0, done.err
    assert "\x1b" not in done.out and "\x07" not in done.out and "\u202e" not in done.out
    assert "\\x1b[31mgamma\\x07" in done.out
    data = json.loads(adapt(PROMPT, "--budget", "9", "--strategy", "knn", "--json").out)
    assert HOSTILE in [pick["text"] for pick in data["selection"]["picks"]], "JSON keeps texts as they are"


@pytest.mark.parametrize(("flags", "taken"), [((), "eager"), (("--backend", "compiled"), "compiled")])
def test_one_prompt_does_not_repay_compiling(adapt, monkeypatch, flags, taken):
    def asked(**given):
        raise UsageError(f"asked for {given['backend']}")

    monkeypatch.setattr("ttft_bench.lab.adapt.open_lab", asked)
    assert f"asked for {taken}" in adapt("the lazy dog", *flags).err


def test_json_says_everything(adapt, tmp_path):
    (tmp_path / "other.txt").write_text("theta iota kappa\n", encoding="utf-8")
    done = adapt(PROMPT, "--budget", "4", "--json", "--generate", "--max-new-tokens", "3", "--score", "other.txt")
    assert done.code == 0, done.err
    data = json.loads(done.out)
    assert_documented("adapt", data)
    assert data["bpb_pct"] == pytest.approx(100 * data["bpb_after"] / data["bpb_before"])
    assert data["other_bpb_before"] > 0 and data["other_bpb_after"] != data["other_bpb_before"]
    assert data["documents"] == 9 and data["prompt"] == PROMPT and "benchmark's measure" in data["measure"]
    picks = data["selection"]["picks"]
    assert sum(pick["repeats"] for pick in picks) == 4 == len(data["selection"]["order"]) == data["timing"]["steps"]
    assert {"id", "rank", "similarity", "weight", "repeats", "n_tokens", "text", "subset", "group"} == set(picks[0])
    assert set(data["continuation"]) == {"before", "after"} and data["timing"]["restore_s"] > 0


def test_the_prompt_from_standard_input_and_from_a_file(adapt, tmp_path, monkeypatch):
    (tmp_path / "prompt.txt").write_bytes(PROMPT.encode() + b"\r\n")
    from_file = json.loads(adapt("--prompt-file", "prompt.txt", "--budget", "2", "--json").out)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PROMPT.encode() + b"\n")))
    from_stdin = json.loads(adapt("-", "--budget", "2", "--json").out)
    assert from_file["prompt"] == from_stdin["prompt"] == PROMPT
    assert from_file["bpb_after"] == from_stdin["bpb_after"]


def test_a_leak_and_a_capped_budget_are_told_on_stderr(adapt, tmp_path):
    (tmp_path / "my-notes" / "copy.md").write_text(PROMPT, encoding="utf-8")
    done = adapt(PROMPT, "--budget", "50", "--strategy", "knn", "--json")
    assert "leak: the corpus holds the prompt" in done.err and "capped at the pool of 9" in done.err
    assert len(json.loads(done.out)["notes"]) == 2


def test_a_time_budget(adapt):
    data = json.loads(adapt(PROMPT, "--budget-s", "0.2", "--json").out)
    timing = data["timing"]
    assert timing["budget_s"] == 0.2 and timing["steps"] >= 1 and timing["predicted_s"] > 0


@pytest.mark.parametrize(
    "argv", [[""], [" \t\n"], ["   word", "--bpb-protocol", "prefix"], ["a", "--score", "blank.txt"], ["-"], ["\udcff"]]
)
def test_what_is_given_is_checked_before_anything_costs_a_second(tmp_path, argv):
    """No torch is imported, let alone a corpus read or embedded: the one here does not exist."""
    (tmp_path / "blank.txt").write_text(" \n\n")
    code = (
        "import sys; from ttft_bench.cli.everywhere import run_app; from ttft_bench.cli import app\n"
        f"sys.argv = ['ttft-bench', 'adapt', '--corpus', 'no/folder', *{argv!r}]\n"
        "code = run_app(app)\n"
        "assert not {'torch', 'transformers', 'faiss'} & set(sys.modules)\n"
        "sys.exit(code)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input="", cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("error: "), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        ([], 2, "give one prompt"),
        (["a", "--prompt-file", "b"], 2, "give one prompt"),
        ([" "], 2, "prompt is empty"),
        (["   word", "--bpb-protocol", "prefix"], 2, "first half of the prompt is empty"),
        (["a", "--score", "blank.txt"], 2, "blank.txt is empty"),
        (["--prompt-file", "latin.txt"], 2, "latin.txt is not UTF-8 (byte 1"),
        (["--prompt-file", "nowhere.txt"], 4, "nowhere.txt"),
        (["a", "--budget", "1", "--budget-s", "1"], 2, "either steps or seconds"),
        (["a", "--strategy", "sfit"], 3, "sift"),
        (["a", "--corpus", "no/folder"], 4, "does not exist"),
        (["a", "--device", "tpu"], 2, "unknown device"),
        (["a", "--model", "no/such/model"], 4, "asset name"),
        (["a", "--subsets", "nothing"], 4, "no subset"),
        (["a", "--subsets", ","], 2, "subsets must name a subset"),
    ],
)
def test_what_cannot_be_ends_with_a_reason_and_the_exit_code(adapt, tmp_path, argv, code, words):
    (tmp_path / "blank.txt").write_text(" \n\n")
    (tmp_path / "latin.txt").write_bytes(b"\x61\xe9")
    done = adapt(*argv)
    assert (done.code, done.out) == (code, "") and words in done.err, done.err
