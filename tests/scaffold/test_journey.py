"""A stranger's way: written, installed, listed, checked, its own tests, swept beside others, removed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from documented import assert_documented
from ttft_bench.scaffold import write_distribution
from ttft_bench.sweep import store

FARTHEST = Path(__file__).parents[1] / "plugins" / "farthest"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The three kinds as they are written, and another distribution, installed by pip into a folder of their own."""
    made = tmp_path_factory.mktemp("made")
    names = {"strategy": "my-idea", "suite": "my-suite", "embedder": "my-words"}
    folders = [write_distribution(kind, name, made) for kind, name in names.items()]
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--target", str(site), *map(str, folders), str(FARTHEST)]
    subprocess.run(command, check=True, capture_output=True)
    return site, folders


@pytest.fixture
def run(installed, tmp_path, monkeypatch):
    """Run a command line in a process of its own that sees what is installed, and nothing of this one's path."""
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path / "cache"))

    def start(*words, cwd=tmp_path, module="ttft_bench", code=0):
        environment = {**os.environ, "PYTHONPATH": str(installed[0]), "OMP_NUM_THREADS": "1", "TTFT_PURE": "1"}
        command = [sys.executable, "-m", module, *map(str, words)]
        done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, f"{words}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done

    return start


def test_listed_checked_and_with_tests_that_pass(run, installed):
    listed = {row["name"]: row for row in json.loads(run("strategies", "--json").stdout)}
    for name, distribution in (("my-idea", "ttft-my-idea"), ("farthest", "ttft-farthest")):
        row = listed[name]
        assert (row["status"], row["distribution"], row["built_in"]) == ("ok", distribution, False)
    assert listed["my-idea"]["parameters"] == {"towards": "0.1"} and listed["my-idea"]["nested"]
    checked = run("check", "my-idea", "--json")
    assert json.loads(checked.stdout)["ok"] is True
    suite = json.loads(run("suites", "my-suite", "--json").stdout)
    assert suite["source"] == "ttft-my-suite 0.1.0" and not suite["problem"]
    told = json.loads(run("embedders", "--json").stdout)
    assert_documented("embedders", told)
    embedders = {row["name"]: row["status"] for row in told}
    assert embedders["my-words"] == "ok" and embedders["hashed-words"] == "ok"
    for folder in installed[1]:
        run("-q", "-p", "no:cacheprovider", cwd=folder, module="pytest")


def test_swept_beside_others_then_removed(run, installed, tmp_path, tiny_model_dir, tiny_corpus_file):
    suite = tmp_path / "tiny.toml"
    suite.write_text(
        f'name = "tiny"\n[corpus]\nsource = "{tiny_corpus_file}"\nprompts_per_subset = 1\n[pool]\nk = 20\n'
        f'[model]\nname = "{tiny_model_dir}"\nmax_tokens = 32\n'
    )
    flags = ("--budgets", "2", "--reuse", "1", "--device", "cpu", "--embedder", "my-words[d=64]")
    run(
        "sweep",
        "--config",
        suite,
        "--strategies",
        "my-idea,my-idea[towards=1],farthest,hullft,knn",
        "-o",
        "run",
        *flags,
    )
    rows = store.load_run(tmp_path / "run").rows
    named = {row["strategy"]: row for row in rows if row["strategy"] != "none"}
    assert set(named) == {"my-idea", "my-idea[towards=1.0]", "farthest", "hullft", "knn"}
    assert {row["status"] for row in rows} == {"ok"} and {row["embedder"] for row in rows} == {"my-words[d=64]"}
    assert named["my-idea"]["distribution"] == "ttft-my-idea 0.1.0"
    site = installed[0]
    for leftover in (
        "ttft_my_idea.py",
        "ttft_my_idea-0.1.0.dist-info",
        "ttft_my_words.py",
        "ttft_my_words-0.1.0.dist-info",
    ):
        path = site / leftover
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    gone = run("sweep", "--config", suite, "--strategies", "my-idea,knn", "-o", "again", *flags, code=3)
    assert "unknown strategy 'my-idea'" in gone.stderr and not (tmp_path / "again").exists()
    gone = run("sweep", "--config", suite, "--strategies", "knn", "-o", "again", *flags, code=4)
    assert "my-words" in gone.stderr
