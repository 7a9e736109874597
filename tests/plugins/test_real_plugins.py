"""Distributions of strangers, installed and removed by pip in an environment of their own: none harms the others."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from ttft_bench.sweep import store

HERE = Path(__file__).parent
GARBAGE = {
    "g-too-few": "picks where",
    "g-out-of-range": "outside the pool of 20",
    "g-nan-weights": "weights hold NaN",
    "g-changes-input": "read-only",
    "g-exits": "SystemExit: 0",
    "g-for-ever": "took longer than 5 s",
}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An interpreter that sees what this one sees, and into whose own folder pip installs."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    scheme = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", scheme))
    ours = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (site / "theirs.pth").write_text(ours, encoding="utf-8")
    executable = folder / "bin" / "python"
    _pip(executable, "install", *(HERE / name for name in ("broken", "farthest", "garbage", "needy")))
    return executable


def _pip(python, command, *what):
    options = {"install": ["--no-deps", "--no-build-isolation", "--no-index"], "uninstall": ["--yes"]}[command]
    words = ["-m", "pip", "--disable-pip-version-check", command, "--quiet", *options, *map(str, what)]
    done = subprocess.run([str(python), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def run(python, tmp_path):
    def start(*words, code=0):
        ours = {"TTFT_BENCH_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1", "TTFT_PURE": "1"}
        command = [str(python), "-P", "-m", "ttft_bench", *map(str, words)]
        done = subprocess.run(
            command, env={**os.environ, **ours}, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == code, f"{words}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done

    return start


@pytest.fixture
def sweep(run, tmp_path, tiny_model_dir, tiny_corpus_file):
    suite = tmp_path / "tiny.toml"
    suite.write_text(
        f'name = "tiny"\n[corpus]\nsource = "{tiny_corpus_file}"\nprompts_per_subset = 1\n[pool]\nk = 20\n'
        f'embedder = "hashed-words[d=64]"\n[model]\nname = "{tiny_model_dir}"\nmax_tokens = 32\n'
    )
    flags = ("--config", suite, "--budgets", "2", "--reuse", "1", "--device", "cpu", "-o", "run")

    def start(strategies, *more, code=0):
        return run("sweep", *flags, "--strategies", strategies, *more, code=code)

    return start


def _rows(run, command):
    return {row["name"]: row for row in json.loads(run(command, "--json").stdout)}


def test_each_is_a_line_with_a_status_and_a_remedy(run):
    found = _rows(run, "strategies")
    assert {name: found[name]["status"] for name in ("farthest", "knn", *GARBAGE)} == dict.fromkeys(
        ("farthest", "knn", *GARBAGE), "ok"
    ), "what a strategy answers is not known before it is asked"
    for name, status, cause, remedy in (
        ("fails-at-import", "broken", "it was never finished", "pip install --upgrade ttft-broken"),
        ("exits-at-import", "broken", "SystemExit: 0", "tell its author"),
        ("needy", "missing-requirement", "no_such_module_of_ttft", "pip install no-such-distribution-of-ttft"),
    ):
        assert found[name]["status"] == status and cause in found[name]["cause"] and remedy in found[name]["remedy"]
    suites = _rows(run, "suites")
    for name, cause in (("fails-suite", "no luck"), ("exits-suite", "SystemExit: 0"), ("nowhere-suite", "is no file")):
        assert suites[name]["status"] == "broken" and cause in suites[name]["problem"]
        assert "pip install --upgrade ttft-broken" in suites[name]["problem"]
    assert suites["quick"]["status"] == "ok" and suites["quick"]["cost"]
    assert _rows(run, "embedders")["hashed-words"]["status"] == "ok"


def test_those_that_misbehave_when_asked_cost_their_own_rows_only(sweep, tmp_path):
    done = sweep(",".join(("farthest", "knn", *GARBAGE)), "--select-timeout", "5", code=1)
    rows = store.load_run(tmp_path / "run").rows
    by_name = {}
    for row in rows:
        by_name.setdefault(row["strategy"], []).append(row)
    assert {"farthest", "knn", *GARBAGE} <= set(by_name)
    for name in ("farthest", "knn"):
        assert [row["status"] for row in by_name[name]] == ["ok", "ok"] and by_name[name][0]["bpb_after"] > 0
    for name, words in GARBAGE.items():
        status = "timeout" if name == "g-for-ever" else "failed"
        assert {row["status"] for row in by_name[name]} == {status} and len(by_name[name]) == 2
        assert all(words in row["reason"] for row in by_name[name]), by_name[name]
        assert f"see `ttft-bench check {name}`, or tell the author of ttft-garbage 1.0" in done.stderr
    assert (tmp_path / "run" / "report.html").is_file(), "broken falsifiers harm no report"
    assert "left out: falsifiers 'fails-falsifiers' of ttft-broken 1.0: RuntimeError: no luck" in done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fails-at-import", ["ttft-broken 1.0", "it was never finished", "pip install --upgrade ttft-broken"]),
        ("exits-at-import", ["ttft-broken 1.0", "SystemExit: 0", "tell its author"]),
        ("exits-when-built", ["ttft-broken 1.0", "cannot be built: SystemExit: 0", "tell its author"]),
        ("needy", ["ttft-needy 1.0", "pip install no-such-distribution-of-ttft"]),
    ],
)
def test_one_that_cannot_be_used_is_refused_before_anything_is_spent(run, sweep, tmp_path, name, words):
    done = sweep(f"{name},knn", code=3)
    assert all(word in done.stderr for word in words) and not done.stdout and not (tmp_path / "run").exists()
    checked = run("check", name, code=3)
    assert words[-1] in checked.stdout + checked.stderr


@pytest.mark.parametrize(("name", "code"), [("exits-words", 3), ("exits-embedding", 4)])
def test_an_embedder_that_exits_is_an_error_and_no_success(sweep, name, code):
    done = sweep("knn", "--embedder", name, code=code)
    assert f"embedder '{name}' of ttft-broken 1.0" in done.stderr and "SystemExit: 0" in done.stderr


@pytest.mark.timeout(1500)
def test_names_of_built_in_ones_are_refused_until_the_stranger_is_removed(
    python, run, sweep, tmp_path, tiny_embedder_dir
):
    _pip(python, "install", HERE / "usurper")
    try:
        listed = json.loads(run("strategies", "--json", code=3).stdout)
        assert [(row["status"], row["distribution"]) for row in listed if row["name"] == "knn"] == [
            ("duplicate", "ttft-bench"),
            ("duplicate", "ttft-usurper"),
        ]
        for command in ("suites", "embedders"):
            told = run(command, code=3).stderr
            assert "ttft-bench" in told and "ttft-usurper 1.0" in told and "pip uninstall ttft-usurper" in told
        told = sweep("knn,last", code=3).stderr
        assert "strategy 'knn' is offered by ttft-bench" in told and "pip uninstall ttft-usurper" in told
        told = sweep("last,hullft", code=3).stderr
        assert "embedder 'hashed-words' is offered by ttft-bench" in told and not (tmp_path / "run").exists()
        listed = run("assets", "list", "--json")
        states = {(row["name"], row["provider"]): row["state"] for row in json.loads(listed.stdout)}
        assert states["all-minilm-l6-v2", "ttft-bench"] == states["all-minilm-l6-v2", "ttft-usurper"] == "duplicate"
        assert states["usurped", "ttft-usurper"] == states["smollm2-135m-instruct", "ttft-bench"] == "missing"
        claimed = "asset 'all-minilm-l6-v2' is offered by ttft-bench "
        assert f"warning: {claimed}" in listed.stderr and "pip uninstall ttft-usurper" in listed.stderr
        assert f"error: {claimed}" in run("assets", "fetch", "all-minilm-l6-v2", code=3).stderr
        told = sweep("last,hullft", "--embedder", "all-minilm-l6-v2", code=3).stderr
        assert claimed in told and "ttft-usurper 1.0" in told and not (tmp_path / "run").exists()
        sweep("last,hullft", "--embedder", tiny_embedder_dir)
        rows = store.load_run(tmp_path / "run").rows
        assert {row["strategy"] for row in rows} >= {"last", "hullft"} and {row["status"] for row in rows} == {"ok"}
    finally:
        _pip(python, "uninstall", "ttft-usurper", "ttft-farthest")
    found = _rows(run, "strategies")
    assert found["knn"]["status"] == "ok" and not {"last", "farthest"} & set(found)
    assert "unknown strategy 'farthest'" in sweep("farthest", code=3).stderr
    _pip(python, "install", HERE / "farthest")
