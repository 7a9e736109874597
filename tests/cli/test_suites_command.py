"""``ttft-bench suites``."""

from __future__ import annotations

import json
import subprocess
import sys


def test_listing_and_one_suite(invoke):
    listing = invoke("suites")
    assert listing.code == 0 and "ablate-pool" in listing.out and "paper-main" in listing.out
    one = invoke("suites", "ablate-pool")
    assert one.code == 0 and "k1000" in one.out and "near-duplicates kept" in one.out and "training steps" in one.out
    assert "reports/engine/engine.json" in one.out
    found = json.loads(invoke("suites", "paper-main", "--json").out)
    assert found["cost"]["prompts"] == 1800 and len(found["suite"]["published"]["figures"]) == 23
    assert {item["name"] for item in json.loads(invoke("suites", "--json").out)} >= {"quick", "minipile", "baselines"}


def test_errors(invoke):
    wrong = invoke("suites", "minipil")
    assert wrong.code == 2 and "did you mean 'minipile'" in wrong.err
    assert invoke("suites", "quick", "--markdown").code == 2


def test_a_file_and_what_cannot_be_costed(invoke, tiny, tmp_path):
    found = invoke("suites", str(tiny))
    assert found.code == 0 and "once the corpus is read" in found.out
    tiny.write_text(tiny.read_text().replace('"knn", "sift"', '"hulft"').replace("= 1", '= 1\nsubsets = ["greek"]'))
    assert "unknown strategy 'hulft'" in invoke("suites", str(tiny)).out


def test_listing_imports_neither_torch_nor_solvers():
    code = (
        "import sys; sys.argv = ['ttft-bench', 'suites']\n"
        "from ttft_bench.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert not {'torch', 'transformers', 'cvxpy', 'faiss'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
