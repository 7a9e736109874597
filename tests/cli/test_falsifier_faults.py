"""A file of falsifiers that cannot be used costs its own claims, never the report: told in its section, and warned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paired_rows import FALSIFIER as GOOD
from paired_rows import rows
from ttft_bench.report.questions import read_files

BAD = {
    "x = [": "cannot be read as TOML",
    GOOD + "margins = 1\n": "unknown key margins",
    GOOD.replace("equal-budget", "equal-bugdet"): "kind must be one of",
    GOOD.replace('["b"]', "3"): "rivals must be a list of strategies, got 3",
}
Invoke = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    run.mkdir()
    data = rows({"a": 80.0, "b": 79.0}, n=6)
    lines = [json.dumps({**item, "cell_id": f"c{place}"}) for place, item in enumerate(data)]
    (run / "results.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return run


@pytest.fixture(params=list(BAD), ids=list(BAD.values()))
def bad(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """A file, and what is wrong with it."""
    file = tmp_path / "claims.toml"
    file.write_text(request.param, encoding="utf-8")
    return file, BAD[request.param]


def test_the_report_is_written_and_says_what_is_wrong_and_where(invoke: Invoke, folder: Path, bad: Any) -> None:
    file, words = bad
    result = invoke("report", folder, "--falsifiers", file)
    assert result.code == 0 and "BPB%" in result.out
    assert f"warning: falsifiers {file}" in result.err and words in result.err
    page = (folder / "report.html").read_text(encoding="utf-8")
    section = page.split('<section id="falsifiers">')[1].split("</section>")[0]
    assert str(file) in section and words in section and "No file of falsifiers was given" not in section


def test_statistics_print_the_rest_and_end_with_2(invoke: Invoke, folder: Path, bad: Any) -> None:
    file, words = bad
    result = invoke("statistics", folder, "--falsifiers", file)
    assert result.code == 2 and words in result.err
    assert "### Settings" in result.out and "What would falsify the claims?" in result.out and words in result.out
    as_json = invoke("statistics", folder, "--falsifiers", file, "--json")
    assert as_json.code == 2 and words in json.loads(as_json.out)["falsifier_faults"][0]


def test_one_bad_file_leaves_the_claims_of_others(tmp_path: Path, bad: Any) -> None:
    good = tmp_path / "good.toml"
    good.write_text(GOOD, encoding="utf-8")
    claims, faults = read_files([bad[0], good, tmp_path / "gone.toml"])
    assert [claim.id for claim in claims] == ["x"] and len(faults) == 2 and "gone.toml" in faults[1]


def test_an_installed_file_that_is_malformed_costs_no_report(
    invoke: Invoke, folder: Path, bad: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttft_bench.registry.files", lambda group, note: [bad[0]])
    result = invoke("report", folder, "--no-html", "--json")
    assert result.code == 0 and bad[1] in result.err
    assert bad[1] in json.loads(result.out)["falsifier_faults"][0]
