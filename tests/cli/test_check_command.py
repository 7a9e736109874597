"""`ttft-bench check`: one line per check, exit codes, and plug-ins that misbehave while they are checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from strangers import write_plugin
from ttft_bench.checks.claims import CHECKS

PLUGIN = '''
import os, sys, time
import numpy as np
from ttft_bench.selector import Selection, Selector

class First(Selector):
    """The first rows as they stand."""
    def select(self, problem, rng):
        return Selection(np.resize(np.arange(problem.size), problem.budget))

class Hangs(First):
    """Hangs."""
    def select(self, problem, rng):
        time.sleep(600)

class Ends(First):
    """Ends the process."""
    def select(self, problem, rng):
        os._exit(7)

class Exits(First):
    """Raises SystemExit."""
    def select(self, problem, rng):
        sys.exit("good bye")

class Chatters(First):
    """Prints."""
    def select(self, problem, rng):
        print("noise on stdout")
        return super().select(problem, rng)

class Needs(First):
    """Needs something."""
    requires = ("No-Such-Dist>=2",)

class OwnRepr(First):
    """Another repr."""
    def __repr__(self):
        return "\\x1b[31mred"
'''
NAMES = {
    "first-rows": "First",
    "hangs": "Hangs",
    "ends": "Ends",
    "exits": "Exits",
    "chatters": "Chatters",
    "needs": "Needs",
    "own-repr": "OwnRepr",
    "gone": "NoSuchClass",
}


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """Install some of the misbehaving strategies, as pip would."""

    def install(*names: str) -> None:
        site = tmp_path / "site"
        write_plugin(site, "bad-check-plugins", PLUGIN, "ttft_bench.selectors", {name: NAMES[name] for name in names})
        monkeypatch.syspath_prepend(str(site))

    return install


def test_a_good_strategy_is_one_line_per_check_and_a_summary(invoke):
    result = invoke("check", "sift[lam=1]")
    assert result.code == 0, result.err
    title, *lines, total = result.out.splitlines()
    assert title.startswith("sift[lam=1.0] (ttft-bench ")
    assert [line.split(maxsplit=1) for line in lines] == [["ok", name] for name in CHECKS]
    assert total == f"sift[lam=1.0]: {len(CHECKS)} of {len(CHECKS)} checks passed"


def test_a_failed_check_says_why_in_one_line_and_exits_1(invoke, plant):
    plant("first-rows")
    result = invoke("check", "first-rows")
    assert result.code == 1
    (line,) = (line for line in result.out.splitlines() if "FAILED" in line)
    assert line == "  FAILED  permutation: permuting the rows of the pool changed which vectors are picked"
    assert f"first-rows: {len(CHECKS) - 1} of {len(CHECKS)} checks passed" in result.out


def test_as_json(invoke, plant):
    plant("first-rows")
    result = invoke("check", "first-rows", "--json")
    told = json.loads(result.out)
    (selector,) = told["selectors"]
    assert (result.code, told["ok"], selector["status"], selector["failed"]) == (1, False, "failed", 1)
    assert [check["name"] for check in selector["results"]] == list(CHECKS)


@pytest.mark.parametrize(
    ("name", "flags", "reason"),
    [
        ("hangs", ("--timeout", "4"), "it took longer than 4 s and was stopped"),
        ("ends", (), "it ended the process (exit code 7)"),
    ],
)
def test_one_that_does_not_come_back_is_one_failed_line(invoke, plant, name, flags, reason):
    plant(name)
    result = invoke("check", name, *flags)
    assert result.code == 1
    assert f"  FAILED  budgets: {reason}" in result.out
    assert result.out.count("FAILED") == 1
    assert "not tried after the last one" in result.out


def test_system_exit_is_a_reason(invoke, plant):
    plant("exits")
    assert "FAILED  budgets: SystemExit: good bye" in invoke("check", "exits").out


def test_what_a_plug_in_prints_stays_off_stdout(plant, tmp_path):
    plant("chatters")
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "ttft_bench", "check", "chatters", "--json"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(done.stdout)["selectors"][0]["failed"] == 1  # rows as they stand
    assert "noise on stdout" in done.stderr


def test_text_of_a_plug_in_cannot_steer_the_terminal(invoke, plant):
    plant("own-repr")
    result = invoke("check", "own-repr")
    assert result.code == 1
    assert "\x1b" not in result.out


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("no-such-thing", 3, "unknown strategy 'no-such-thing'"),
        ("sift[lamb=1]", 2, "did you mean 'lam'?"),
        ("sift[lam", 2, "never closed"),
        ("knn,sift", 2, "names 2 strategies"),
    ],
)
def test_what_cannot_be_checked_is_an_error_with_its_exit_code(invoke, name, code, words):
    result = invoke("check", name)
    assert (result.code, result.out) == (code, "")
    assert words in result.err


def test_a_missing_requirement_alone_is_told_with_the_command_that_installs_it(invoke, plant):
    plant("needs")
    result = invoke("check", "needs")
    assert result.code == 3
    assert "NOT CHECKED, missing-requirement: not installed: No-Such-Dist; pip install No-Such-Dist" in result.out


def test_all_goes_on_after_a_broken_one(invoke, plant, monkeypatch):
    from ttft_bench import registry

    plant("gone", "needs", "first-rows")
    installed = [item for item in registry.entries() if item.name in {"gone", "needs", "first-rows", "knn"}]
    monkeypatch.setattr(registry, "entries", lambda *_: installed)
    result = invoke("check", "all")
    assert result.code == 3
    lines = result.out.splitlines()
    (broken,) = (line for line in lines if line.startswith("gone"))
    assert "NOT CHECKED, broken: AttributeError" in broken
    assert any(line.startswith("needs") and "pip install No-Such-Dist" in line for line in lines)
    assert f"knn: {len(CHECKS)} of {len(CHECKS)} checks passed" in lines
    assert lines[-1] == "4 strategies: 1 ok, 1 failed, 1 broken, 1 lacking a requirement"


def test_a_missing_requirement_among_others_is_no_failure(invoke, plant, monkeypatch):
    from ttft_bench import registry

    plant("needs")
    installed = [item for item in registry.entries() if item.name in {"needs", "knn"}]
    monkeypatch.setattr(registry, "entries", lambda *_: installed)
    result = invoke("check", "all")
    assert result.code == 0
    assert result.out.splitlines()[-1] == "2 strategies: 1 ok, 1 lacking a requirement"
