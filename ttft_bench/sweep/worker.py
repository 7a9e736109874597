"""A child process that runs one strategy, so that a plug-in that hangs, exits or crashes costs only itself.

The clock is inside the child: what is timed is the ``select`` call alone. One untimed call comes first for
every strategy, so that nobody's imports or first-call costs are counted.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from ttft_bench.picking import Call, pick
from ttft_bench.registry.installed import in_one_line, missing_distributions, requirements_of
from ttft_bench.selector import Selector, measure

#: Starting an interpreter and importing a heavy plug-in must not count against a strategy's own time limit.
STARTUP_S = 120.0
#: Nor must what a strategy imports or compiles on its first call.
FIRST_CALL_S = 30.0

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Answer:
    """What came of a request: ``status`` is ok | failed | timeout; ``values`` holds figures and picks."""

    status: str
    reason: str
    values: dict[str, Any]


class Worker:
    """One strategy in a child process, restarted when it dies.

    Args:
        spec: the strategy's spec.
        timeout_s: how long one ``select`` call may take.
        patience: after so many timeouts in a row a request of no fewer picks than any of them had is answered without
            asking: what is too slow at large budgets only goes on at the small ones.
    """

    def __init__(self, spec: str, timeout_s: float, patience: int = 3) -> None:
        self.spec = spec
        self.timeout_s = timeout_s
        self.patience = patience
        self._timed_out: list[int] = []  # budgets of the timeouts since the last answer
        self._unusable: Answer | None = None
        self._process: Any = None
        self._connection: Connection | None = None

    def ask(self, call: Call) -> Answer:
        """Run one selection; never raises for anything the strategy does."""
        count = len(self._timed_out)
        if count >= self.patience and call.budget >= min(self._timed_out):
            return Answer("timeout", f"not tried: {count} calls in a row exceeded {self.timeout_s:g} s", {})
        if self._unusable is not None:
            return self._unusable
        answer = self._try(call)
        # Counted here, over requests: that a new process comes up well says nothing of `select`.
        self._timed_out = [*self._timed_out, call.budget] if answer.status == "timeout" else []
        return answer

    def close(self) -> None:
        """End the child process."""
        if self._process is not None:
            _kill_group(self._process.pid)
            self._process.kill()
            self._process.join()
            self._process = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _try(self, call: Call) -> Answer:
        failure = self._start(call) if self._process is None else None
        if failure is not None:
            return failure
        return self._exchange(call, self.timeout_s, f"select() took longer than {self.timeout_s:g} s")

    def _start(self, call: Call) -> Answer | None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self.spec), daemon=True)
        with _one_thread():
            self._process.start()
        theirs.close()
        built = self._exchange(None, STARTUP_S, f"importing and building the strategy took longer than {STARTUP_S:g} s")
        if built.status != "ok":
            self.close()
            self._unusable = built
            return built
        # The untimed first call: its answer is thrown away, its failure is the request's.
        limit = f"{self.timeout_s:g} s, and {FIRST_CALL_S:g} s more for imports,"
        too_long = f"the first, untimed select() took longer than {limit}"
        warmed = self._exchange(call, self.timeout_s + FIRST_CALL_S, too_long)
        return warmed if self._process is None else None

    def _exchange(self, message: Any, timeout_s: float, too_long: str) -> Answer:
        """Send a message, if any, and wait for an answer; ``too_long`` says what did not come in time."""
        assert self._connection is not None
        try:
            if message is not None:
                self._connection.send(message)
            if not self._connection.poll(timeout_s):
                self.close()
                return Answer("timeout", f"{too_long} and was stopped", {})
            answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(timeout=5)
            code = self._process.exitcode
            self.close()
            return Answer("failed", f"the strategy ended its process (exit code {code})", {})
        assert isinstance(answer, Answer)
        return answer


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Children started inside compute on one thread, unless the user's environment says otherwise.

    The arrays of a selection are small: a second thread saves nothing and makes times depend on what else
    the machine is doing.
    """
    added = [name for name in _THREAD_VARIABLES if name not in os.environ]
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _kill_group(pid: int) -> None:
    """Kill what a child has started, too; nothing where it has no group of its own yet."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _serve(connection: Connection, spec: str) -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # processes that a strategy leaves behind end with it
    # Ctrl-C is the parent's to handle; and what a plug-in prints must not mix with results on stdout.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    from ttft_bench.registry import build_selector

    try:
        selector = build_selector(spec)
    except BaseException as error:
        connection.send(Answer("failed", in_one_line(error), {}))
        return
    connection.send(Answer("ok", "", {}))
    while True:
        try:
            call = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(_select(selector, call))


def _select(selector: Selector, call: Call) -> Answer:
    try:
        picked = pick(selector, call)
    except BaseException as error:
        return Answer("failed", _reason(error, selector), {})
    selection = picked.selection
    values = {
        "positions": selection.positions.tolist(),
        "objective": selection.objective,
        "gap": selection.gap,
        "solver_status": selection.status,
        "select_s": picked.select_s,
        "nested": bool(selector.nested),
        "repeats": bool(selector.repeats),
        **measure(selection.positions, picked.problem),
    }
    return Answer("ok", picked.remark, values)


def _reason(error: BaseException, selector: Selector) -> str:
    """Why ``select`` failed, with the command that installs what it declares to need, where that is the cause."""
    missing = missing_distributions(requirements_of(selector)) if isinstance(error, ImportError) else []
    return in_one_line(error) + (f"; pip install {' '.join(missing)}" if missing else "")


__all__ = ["Answer", "Worker"]
