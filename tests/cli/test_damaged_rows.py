"""A journal with damaged lines: what is dropped is told where warnings go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ttft_bench.sweep import store


def test_statistics_tell_what_was_dropped_on_stderr(invoke: Callable[..., Any], tiny: Path, tmp_path: Path) -> None:
    done = invoke("sweep", "--config", tiny, "-o", "run", "--device", "cpu", "--strategies", "knn", "--limit", "1")
    assert done.code == 0, done.err
    whole = len(store.load_run(tmp_path / "run").rows)
    with (tmp_path / "run" / store.RESULTS).open("a", encoding="utf-8") as journal:
        journal.write("not a record\n{}\n")
    told = invoke("statistics", "run")
    assert told.code == 0
    assert f"warning: {store.RESULTS} line {whole + 1} is not a whole record and was dropped; a sweep" in told.err
    assert f"warning: {store.RESULTS}: a record without cell_id is no row and was dropped" in told.err
    assert len(store.load_run(tmp_path / "run").rows) == whole
    wrong = invoke("statistics", f"run/{store.RESULTS}")
    assert wrong.code == 2 and "is a file: give a folder" in wrong.err
