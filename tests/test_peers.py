"""The side-by-side benchmark runs, says what it says it says, and the README's table is that of the kept figures."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ttft_bench.selector import make_problem, measure

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benchmarks" / "peers"
KEPT = ROOT / "reports" / "peers_selection" / "selection.json"
PARTS = {"HullFT as published", "cvxpy + Clarabel", "a loop over select"}
NUMBERS = {"peer_us", "ours_us", "ratio", "floor_us"}


@pytest.fixture
def _peers_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PEERS))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # importing peerlib sets these for good; this puts them back


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PEERS / "selection.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=500)


def check_shape(results: dict) -> None:
    assert results["schema_version"] == 1
    assert {row["against"] for row in results["rows"]} >= PARTS
    for row in results["rows"]:
        assert all(math.isfinite(row[key]) and row[key] > 0 for key in NUMBERS), row
        assert row["ratio"] == pytest.approx(row["peer_us"] / row["ours_us"])
        met = row["target"] is not None and row["equal_or_better"] and row["ratio"] >= row["target"]
        assert row["verdict"] == ("reported" if row["target"] is None else "met" if met else "missed")
    for item in results["missing"]:
        assert item["column"] and item["install"]
    for item in results["growth"]["slopes"]:
        assert item["reason"] and all(map(math.isfinite, item["slopes"]))


@pytest.mark.real
def test_a_quick_run_writes_figures_that_hold_together(tmp_path: Path) -> None:
    done = run("--quick", "--output", str(tmp_path / "peers"))
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "peers" / "selection.json").read_text(encoding="utf-8"))
    check_shape(results)
    assert results["quick"]
    assert all(row["equal_or_better"] for row in results["rows"] if row["against"] == "a loop over select")
    assert (tmp_path / "peers" / "selection.svg").read_text(encoding="utf-8").startswith("<?xml")
    if "activeft" in {item["column"] for item in results["missing"]}:
        assert "activeft==0.1.1" in done.stdout


def test_vectors_of_a_file_and_rows_of_another_machine(tmp_path: Path, _peers_on_path: None) -> None:
    from peerlib.pools import Vectors, read_vectors, write_vectors
    from peerlib.table import all_rows, inserted, markdown, merged

    rng = np.random.default_rng(0)
    rows = rng.standard_normal((306, 16)) + 0.5
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    write_vectors(Vectors(rows[6:], rows[:6]), tmp_path / "vectors.npz")
    np.testing.assert_array_equal(read_vectors(tmp_path / "vectors.npz", 4).prompts, rows[:4])
    with pytest.raises(ValueError, match="6 prompts, and 7 are needed"):
        read_vectors(tmp_path / "vectors.npz", 7)
    np.savez(tmp_path / "bad.npz", documents=rows)
    with pytest.raises(ValueError, match="--save-vectors"):
        read_vectors(tmp_path / "bad.npz", 1)

    done = run("--quick", "--only", "many", "--vectors", str(tmp_path / "vectors.npz"), "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    here = json.loads((tmp_path / "selection.json").read_text(encoding="utf-8"))
    assert {row["against"] for row in here["rows"]} == {"a loop over select"}
    with pytest.raises(ValueError, match="no GPU"):
        merged(here, here)

    gpu = {"name": "GPU 3000", "memory_gib": 80, "cuda": "13.0", "triton": "3.9.0", "bus_gb_s": 50.0}
    gpu["stages_us"] = {"hullft": {"gram": 0.5}}
    there = {
        **here,
        "device": gpu,
        "rows": [{**here["rows"][0], "road": "torch cuda, Triton kernels"}, here["rows"][1]],
    }
    (tmp_path / "there.json").write_text(json.dumps(there), encoding="utf-8")
    done = run("--merge", str(tmp_path / "there.json"), "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    both = json.loads((tmp_path / "selection.json").read_text(encoding="utf-8"))
    assert both["rows"] == here["rows"] and len(both["elsewhere"]) == 1
    assert merged(both, there) == both
    assert [row["road"] for row in all_rows(both)[len(here["rows"]) :]] == ["torch cuda, Triton kernels, on GPU 3000"]
    assert "On GPU 3000 (80 GiB" in markdown(both) and "Not measured here" not in markdown(both)
    begin, end = "<!-- ratios:begin -->", "<!-- ratios:end -->"
    assert inserted(f"a {begin} b {end} c", both).startswith(f"a {begin}\n| against")
    assert run("--merge", str(tmp_path / "selection.json"), "--output", str(tmp_path)).returncode == 2


def test_help_and_unknown_parts() -> None:
    assert "--readme" in run("--help").stdout
    done = run("--only", "nothing")
    assert done.returncode == 2 and "unknown part" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--merge", "none.json"], "none.json"),
        (["--merge", "list.json"], "list.json does not hold results of this benchmark"),
        (["--vectors", "none.npz"], "none.npz"),
        (["--vectors", "list.json"], "list.json holds no vectors of this benchmark"),
        (["--device", "no-such-device"], "cannot be used here"),
        (["--quick", "--vectors", "list.json", "--output", "list.json"], "list.json"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(options: list[str], words: str, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[]")
    done = subprocess.run(
        [sys.executable, str(PEERS / "selection.py"), "--output", "out", *options],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr


def test_the_readme_has_the_kept_figures(_peers_on_path: None) -> None:
    from peerlib.table import inserted

    results = json.loads(KEPT.read_text(encoding="utf-8"))
    check_shape(results)
    assert not results["quick"] and min(row["pools"] for row in results["rows"] if "K = 2,000" not in row["at"]) >= 50
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert inserted(text, results) == text, "run: python benchmarks/peers/selection.py --readme"


def test_the_published_rendition_is_the_published_method(_peers_on_path: None) -> None:
    import published_hullft

    from ttft_strategies._gram import Gram
    from ttft_strategies._simplex import frank_wolfe

    rng = np.random.default_rng(3)
    for budget in (1, 2, 5, 20):
        problem = make_problem(rng.standard_normal(16) + 1.0, rng.standard_normal((40, 16)) + 1.0, budget)
        rows, target = problem.pool.astype(np.float64), problem.target
        weights, _ = published_hullft.frank_wolfe(rows, target, budget)
        ours = frank_wolfe(Gram(problem.pool, target), support_limit=budget).weights
        np.testing.assert_allclose(weights, ours, atol=1e-9)
        positions = published_hullft.select(problem)
        assert len(positions) == budget
        support = np.flatnonzero(weights > 0)
        share = weights[support]
        counts = published_hullft.integerize(rows[support], target, share, budget)
        assert counts.min() >= 0 and counts.sum() == budget
        loss = measure(positions, problem)["residual"]
        for source in np.flatnonzero(counts):  # no single move is left that lowers the loss
            for to in range(len(support)):
                moved = counts.copy()
                moved[source] -= 1
                moved[to] += 1
                difference = target - moved @ rows[support] / budget
                assert difference @ difference > loss - 1e-9
