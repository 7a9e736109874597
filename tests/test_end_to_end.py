"""The main job on the real model, embedder and corpus; and the wheel alone in a clean environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from ttft_bench.sweep import store

ROOT = Path(__file__).parents[1]
SMALL = ["--subsets", "wikipedia,licences", "--budgets", "1,2", "--max-tokens", "48"]


def run(command: list[str], cwd: Path, **options) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=1500, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.mark.real
@pytest.mark.timeout(1800)
def test_the_main_job_on_real_text_and_a_real_model(tmp_path):
    command = [sys.executable, "-m", "ttft_bench", "sweep", "--strategies", "hullft,sift,knn", *SMALL, "-o", "run"]
    done = run(command, tmp_path)
    assert "hullft" in done.stdout and "random-corpus" in done.stdout
    rows = store.load_run(tmp_path / "run").rows
    assert {row["strategy"] for row in rows} == {"hullft", "sift", "knn", "random-corpus"}
    assert {row["subset"] for row in rows} == {"wikipedia", "licences"}
    for row in rows:
        assert row["status"] == "ok"
        assert 0.3 < row["bpb_before"] < 3, "a trained model reads plain text at about one bit a byte"
        assert 50 < row["bpb_pct"] < 120 and row["tokens_scored"] <= 47
        assert row["start_token"] == "<|endoftext|>" and row["model"] == "smollm2-135m-instruct"
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "hullft" in page and "<svg" in page
    again = run(command, tmp_path)
    assert "are done already, 0 to go" in again.stderr


@pytest.mark.real
@pytest.mark.timeout(900)
def test_adapting_to_a_prompt_on_real_text_and_a_real_model(tmp_path):
    """Six notes about two things: those about the prompt's are trained on, and the model reads it better afterwards."""
    notes = {
        "bees": "Honey bees tell each other where flowers are by a waggle dance, whose angle says the direction.",
        "hive": "In a hive the queen lays all the eggs, and worker bees gather nectar and turn it into honey.",
        "swarm": "When a colony of bees grows too large it swarms: the old queen leaves with half of the workers.",
        "loop": "A for loop in Python calls iter on its subject and then next until StopIteration is raised.",
        "dict": "A Python dictionary keeps the order of insertion, and looking up a key takes constant time.",
        "tests": "A unit test calls a function with known arguments and asserts that the result is the one expected.",
    }
    (tmp_path / "notes").mkdir()
    for name, text in notes.items():
        (tmp_path / "notes" / f"{name}.md").write_text(text, encoding="utf-8")
    prompt = "A bee that has found nectar returns to the hive and dances, so that other workers find the flowers."
    options = [
        "--corpus",
        "notes",
        "--strategy",
        "sift[lam=0.2]",
        "--budget",
        "3",
        "--generate",
        "--max-new-tokens",
        "4",
    ]
    done = run(
        [sys.executable, "-m", "ttft_bench", "adapt", *options, "--precision", "fp32", "--json", prompt], tmp_path
    )
    found = json.loads(done.stdout)
    assert found["model"] == "smollm2-135m-instruct" and found["embedder"] == "all-minilm-l6-v2"
    assert {pick["group"] for pick in found["selection"]["picks"]} <= {"bees.md", "hive.md", "swarm.md"}
    assert 0.3 < found["bpb_before"] < 3 and 50 < found["bpb_pct"] < 99
    assert found["timing"]["steps"] == 3 and found["continuation"]["before"]


@pytest.mark.real
@pytest.mark.timeout(600)
def test_frank_wolfe_is_certified_on_real_pools(tmp_path):
    command = [sys.executable, "-m", "ttft_bench", "verify", "--strategies", "hullft", "--budgets", "2,20"]
    done = run(command, tmp_path)
    assert "hullft" in done.stdout and "exact-qp" in done.stdout


@pytest.mark.wheel
@pytest.mark.real
@pytest.mark.timeout(2400)
def test_the_wheel_runs_without_the_repository(tmp_path):
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist")], ROOT)
    (wheel,) = (tmp_path / "dist").glob("ttft_bench-*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ttft_bench", "ttft_strategies", "ttft_suites"}

    venv.create(tmp_path / "env", with_pip=True)
    python = str(tmp_path / "env" / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--retries", "10", "-c", str(ROOT / "constraints.txt")]
    run([*pip, "torch"], tmp_path)
    run([*pip, str(wheel)], tmp_path)

    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = str(tmp_path / "env" / "bin" / "ttft-bench")
    empty = tmp_path / "empty"
    empty.mkdir()
    sweep = [command, "sweep", "--strategies", "hullft,sift,knn", *SMALL, "--subsets", "wikipedia", "--budgets", "1"]
    done = run(sweep, empty, env=clean)
    assert "hullft" in done.stdout
    (folder,) = (empty / "reports").iterdir()
    assert (folder / "report.html").exists() and store.load_run(folder).manifest["provenance"]["commit"] is None
    examined = subprocess.run([command, "doctor", "--json"], cwd=empty, env=clean, capture_output=True, check=False)
    findings = json.loads(examined.stdout)["findings"]
    problems = [found["name"] for found in findings if found["status"] == "problem"]
    assert {"libraries", "devices", "storage", "plug-ins"} == {found["section"] for found in findings}
    assert not {name for name in problems if not name.startswith("free disk")}, "an installation from the wheel is well"
    listing = run([command, "strategies"], empty, env=clean).stdout
    assert all(name in listing for name in ("exact-qp", "hullft", "knn", "random", "sift"))
    run([command, "strategies", "new", "my-idea"], empty, env=clean)
    run([python, "-m", "pip", "install", "--quiet", "-e", "my-idea"], empty, env=clean)
    assert "24 of 24" in run([command, "check", "my-idea"], empty, env=clean).stdout
