"""Plug-ins that hang, exit, crash or lie cost their own rows only."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import numpy as np
import pytest

from reporters import Log
from strangers import write_plugin
from ttft_bench.picking import make_call
from ttft_bench.selector import make_problem
from ttft_bench.sweep import store, worker
from ttft_bench.sweep.request import Request
from ttft_bench.sweep.run import run_sweep
from ttft_bench.sweep.suite import CorpusSpec, ModelSpec, PoolSpec, SelectSpec, Suite

PLUGIN = '''
import os, pathlib, subprocess, sys, time
import numpy as np
from ttft_bench.selector import Selection, Selector

class Base(Selector):
    """A strategy that misbehaves."""
    repeats = False

class Hangs(Base):
    def select(self, problem, rng):
        time.sleep(600)

class HangsAtTwo(Base):
    def select(self, problem, rng):
        if problem.budget == 2:
            time.sleep(600)
        return Selection(np.arange(problem.budget))

class HangsOnce(Base):
    """Hangs at its second call."""
    calls = 0
    def select(self, problem, rng):
        HangsOnce.calls += 1
        if HangsOnce.calls == 2:
            time.sleep(600)
        return Selection(np.arange(problem.budget))

class LeavesOneBehind(Base):
    def select(self, problem, rng):
        left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path(os.environ["LEFT_BEHIND"]).write_text(str(left.pid))
        time.sleep(600)

class SlowToBuild(Base):
    def __init__(self):
        time.sleep(600)
    def select(self, problem, rng):
        return Selection(np.arange(problem.budget))

class Crashes(Base):
    def select(self, problem, rng):
        os._exit(7)

class Exits(Base):
    def select(self, problem, rng):
        sys.exit("good bye")

class Raises(Base):
    def select(self, problem, rng):
        raise RuntimeError("first line\\nsecond line")

class Chatters(Base):
    def select(self, problem, rng):
        print("noise on stdout")
        return Selection(np.arange(problem.budget))

class Threads(Base):
    def select(self, problem, rng):
        assert os.environ["OMP_NUM_THREADS"] == "1", "selections are timed on one thread"
        return Selection(np.arange(problem.budget))

class TooFew(Base):
    def select(self, problem, rng):
        return Selection(np.arange(problem.budget - 1))

class OutOfRange(Base):
    def select(self, problem, rng):
        return Selection(np.full(problem.budget, problem.size))

class NanWeights(Base):
    def select(self, problem, rng):
        return Selection(np.arange(problem.budget), weights=np.full(problem.size, np.nan))

class Garbage(Base):
    def select(self, problem, rng):
        return "nonsense"

class ChangesInput(Base):
    def select(self, problem, rng):
        problem.pool[:] = 0
        return Selection(np.arange(problem.budget))

class FalselyNested(Base):
    nested = True
    def select(self, problem, rng):
        return Selection(np.arange(problem.budget)[::-1])
'''

NAMES = {
    "hangs": "Hangs",
    "hangs-at-two": "HangsAtTwo",
    "crashes": "Crashes",
    "exits": "Exits",
    "raises": "Raises",
    "chatters": "Chatters",
    "threads": "Threads",
    "too-few": "TooFew",
    "out-of-range": "OutOfRange",
    "nan-weights": "NanWeights",
    "garbage": "Garbage",
    "changes-input": "ChangesInput",
    "falsely-nested": "FalselyNested",
}


#: Not part of the sweep below: each has a test of its own.
ALONE = {"hangs-once": "HangsOnce", "leaves-one-behind": "LeavesOneBehind", "slow-to-build": "SlowToBuild"}


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    site = tmp_path / "site"
    write_plugin(site, "bad-plugins", PLUGIN, "ttft_bench.selectors", {**NAMES, **ALONE})
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(worker, "FIRST_CALL_S", 2.0)
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path / "cache"))
    for name in worker._THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_they_cost_their_own_rows_only(plugins, tmp_path, tiny_model_dir, tiny_embedder_dir, tiny_corpus_file, capfd):
    suite = Suite(
        "bad",
        corpus=CorpusSpec(str(tiny_corpus_file), prompts_per_subset=1),
        pool=PoolSpec(str(tiny_embedder_dir), k=10),
        select=SelectSpec((*NAMES, "knn"), budgets=(2, 3), reuse=(1,), timeout_s=2.0),
        model=ModelSpec(str(tiny_model_dir), max_tokens=32),
    )
    log = Log()
    outcome = run_sweep(Request(suite, tmp_path / "run", device="cpu"), log)
    rows = store.load_run(tmp_path / "run").rows
    found = {}
    for row in rows:
        found.setdefault(row["strategy"], []).append((row["budget"], row["status"], row["reason"]))
    assert set(found) == {*NAMES, "knn"} and all(len(cells) == 4 for cells in found.values())
    assert outcome.ok + outcome.failed == len(rows)

    def all_are(name, status, words):
        assert all(s == status and words in reason for _, s, reason in found[name]), found[name]

    all_are("knn", "ok", "")
    all_are("chatters", "ok", "")
    all_are("threads", "ok", "")
    all_are("hangs", "timeout", "")
    assert sum("took longer than" in reason for _, _, reason in found["hangs"]) == 3
    assert sum("not tried" in reason for _, _, reason in found["hangs"]) == 1
    all_are("crashes", "failed", "exit code 7")
    all_are("exits", "failed", "SystemExit: good bye")
    all_are("raises", "failed", "RuntimeError: first line second line")
    all_are("too-few", "failed", "picks where")
    all_are("out-of-range", "failed", "outside the pool of 10")
    all_are("nan-weights", "failed", "weights hold NaN")
    all_are("garbage", "failed", "returned str, not a Selection")
    all_are("changes-input", "failed", "read-only")
    assert {(b, s) for b, s, _ in found["hangs-at-two"]} == {(2, "timeout"), (3, "ok")}
    assert {(b, s) for b, s, _ in found["falsely-nested"]} == {(2, "failed"), (3, "ok")}
    assert any("declared nested" in reason for _, _, reason in found["falsely-nested"])
    assert "noise" not in capfd.readouterr().out, "a plug-in's prints must not reach our stdout"
    assert any("hangs" in note for note in log.notes)


def ask(spec, budgets, patience=3):
    """What a worker answers to requests for these budgets."""
    rows = np.eye(6, 4, dtype=np.float32)
    answers = []
    with worker.Worker(spec, 1.0, patience) as child:
        for budget in budgets:
            problem = make_problem(rows[0], rows[:4], budget)
            answers.append(child.ask(make_call(problem, spec, "p", 0)))
    return answers


def test_one_that_hangs_is_given_up_after_three_requests(plugins, monkeypatch):
    starts = []
    real = worker.Worker._start
    monkeypatch.setattr(worker.Worker, "_start", lambda self, call: starts.append(1) or real(self, call))
    monkeypatch.setattr(worker, "FIRST_CALL_S", 0.25)
    *tried, last = ask("hangs", (1, 2, 3, 1))
    first = "the first, untimed select() took longer than 1 s, and 0.25 s more for imports, and was stopped"
    assert [answer.reason for answer in tried] == [first] * 3 and len(starts) == 3
    assert (last.status, last.reason) == ("timeout", "not tried: 3 calls in a row exceeded 1 s")


def test_an_answer_ends_a_row_of_timeouts_and_smaller_budgets_are_still_tried(plugins):
    found = ask("hangs-at-two", (2, 3, 2, 2, 3, 1, 3), patience=2)
    assert "".join(answer.status[0] for answer in found) == "totttoo", "t(imeout) or o(k)"
    assert ["not tried" in answer.reason for answer in found] == [n == 4 for n in range(7)]


def test_a_timeout_names_what_took_too_long(plugins, monkeypatch):
    assert ask("hangs-once", (1,))[0].reason == "select() took longer than 1 s and was stopped"
    monkeypatch.setattr(worker, "STARTUP_S", 0.5)
    one, two = ask("slow-to-build", (1, 2))
    assert one.reason == "importing and building the strategy took longer than 0.5 s and was stopped" == two.reason


def test_what_a_strategy_started_ends_with_it(plugins, monkeypatch, tmp_path):
    left = tmp_path / "pid"
    monkeypatch.setenv("LEFT_BEHIND", str(left))
    monkeypatch.setattr(worker, "FIRST_CALL_S", 5.0)  # time to start a process
    assert ask("leaves-one-behind", (1,))[0].status == "timeout"
    pid = int(left.read_text())
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _runs(pid):
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid):
    """Whether a process is there and not merely waiting to be reaped."""
    with contextlib.suppress(OSError):
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return False


def test_one_that_does_not_import_is_told_before_anything_is_spent(plugins, tmp_path, tiny_corpus_file):
    from ttft_bench.errors import PluginError

    suite = Suite("bad", corpus=CorpusSpec(str(tiny_corpus_file)), select=SelectSpec(("hngs",)))
    with pytest.raises(PluginError, match="hangs"):
        run_sweep(Request(suite, tmp_path / "run", device="cpu"), Log())
    assert not (tmp_path / "run" / store.PICKS).exists()
