from __future__ import annotations

from ttft_bench.report import build_report
from ttft_bench.sweep import store
from ttft_bench.sweep.schema import make_row


def row(cell, prompt, strategy, pct, **values):
    figures = {"bpb_before": 1.0, "bpb_after": pct / 100, "bpb_pct": pct, "bytes_scored": 10, "reuse_interval": 1}
    times = {"select_s": 0.001, "finetune_s": 2.0, "budget": 2, "n_distinct": 2, "status": "ok"}
    return make_row(cell_id=cell, prompt_id=prompt, strategy=strategy, **figures, **times, **values)


def test_the_run_folder_explains_itself(tmp_path):
    with store.Journal(tmp_path / store.RESULTS) as journal:
        for prompt in "pq":
            journal.append(row(f"{prompt}1", prompt, "knn", 90.0))
            journal.append(row(f"{prompt}2", prompt, "bad|<b>*x*[y](http://z)", 95.0))
    provenance = {"argv": ["ttft-bench", "sweep", "--strategies", "a b"], "commit": "abc", "cpu": "a_b", "threads": 2}
    manifest = {"suite": {"name": "s", "purpose": "to test"}, "provenance": provenance, "wall_s": {"finetune": 4.2}}
    store.write_manifest(tmp_path, manifest)
    paths = build_report(tmp_path, html=False).paths
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert tmp_path / "README.md" in paths
    assert "# Run of suite s" in text and "To test." in text and "![BPB% against time" in text
    assert "    ttft-bench sweep --strategies 'a b'" in text and "- wall time: finetune 4 s" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| knn")]
    assert line.split(" | ")[3] == "90.00"
    assert "bad\\|&lt;b&gt;\\*x\\*\\[y\\](http" in text, "names must not become markup"
    assert "<b>" not in text
