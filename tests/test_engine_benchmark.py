"""The engine's benchmark runs from a source tree and keeps what it measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "engine.py"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=500, env=environment)


def test_a_smoke_run_keeps_every_part_and_a_second_one_adds(tmp_path):
    base = ("--quick", "--device", "cpu", "--output", tmp_path, "--models", "tiny-gpt2", "--only")
    done = run(*base, "published,ours")
    assert done.returncode == 0, done.stderr
    assert "| published fp32 | tiny-gpt2 |" in done.stdout
    done = run(*base, "lanes,ours,check")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "engine.json").read_text())
    found = [(row["part"], row["what"], row.get("r") or row.get("lanes")) for row in results["rows"]]
    assert sorted(found, key=str) == sorted(
        [
            *((part, "prompt", r) for part in ("published", "ours") for r in (1, 2)),
            *((part, "step", None) for part in ("published", "ours")),
            ("check", "check", None),
            ("lanes", "lanes", 1),
            ("lanes", "lanes", 2),
        ],
        key=str,
    )
    (checked,) = [row for row in results["rows"] if row["part"] == "check"]
    assert checked["restored"] and checked["same_again"] and checked["lanes_equal"]
    assert checked["weight_difference"] < 1e-5
    for row in results["rows"]:
        assert all(value > 0 for key, value in row.items() if key.endswith("_s") and key not in ("compile_s", "part_s"))
        if row["what"] == "prompt":
            assert (row["fresh"], row["reused"]) == ((50, 0) if row["r"] == 1 else (30, 20))
    assert results["ceilings"]["gb_s"] > 0 and results["machine"]["device"] == "cpu"


def test_unknown_parts_are_refused():
    done = run("--only", "sideways")
    assert done.returncode == 2 and "unknown part 'sideways'" in done.stderr
