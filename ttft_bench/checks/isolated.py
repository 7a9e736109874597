"""The contract of one installed selector, checked in a child process with a time limit.

A plug-in that hangs or ends its process while it is checked is one failed check with a reason; the checks
behind it are not tried.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

from ttft_bench.checks import CheckResult, selector_checks
from ttft_bench.checks.claims import CHECKS
from ttft_bench.errors import BrokenPluginError, PluginError, SpecError, TtftBenchError, UsageError
from ttft_bench.registry import Entry, entry, parse_specs
from ttft_bench.registry.installed import in_one_line, update_remedy
from ttft_bench.registry.probe import describe

#: Starting an interpreter and importing a heavy plug-in must not count against a check's time limit.
STARTUP_S = 120.0


@dataclass(frozen=True)
class Checked:
    """What checking one selector came to.

    Attributes:
        spec: the selector as asked for; canonical once it could be built.
        source: distribution and version that provide it.
        status: ok | failed (a check failed) | missing-requirement | broken (neither could be checked at all).
        results: the checks that were run, in order.
        cause: why it could not be checked; empty if it was.
        remedy: what to do about that.
    """

    spec: str
    source: str
    status: str
    results: tuple[CheckResult, ...] = ()
    cause: str = ""
    remedy: str = ""

    @property
    def passed(self) -> int:
        """Number of checks that passed."""
        return sum(result.ok for result in self.results)

    @property
    def failed(self) -> int:
        """Number of checks that failed."""
        return len(self.results) - self.passed

    @property
    def not_tried(self) -> int:
        """Number of checks behind one that did not come back; all of them if it could not be checked."""
        return len(CHECKS) - len(self.results)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "passed": self.passed, "failed": self.failed, "not_tried": self.not_tried}


def check_selector(spec: str, timeout_s: float = 60.0) -> Checked:
    """Check a selector given by name or spec; it is imported in a child process only.

    Args:
        spec: e.g. ``sift`` or ``sift[lam=1]``.
        timeout_s: seconds that one check may take.

    Raises:
        SpecError: the spec does not parse or does not fit the selector.
        UnknownPluginError: no such selector is installed.
        DuplicateNameError: two distributions offer it.
    """
    specs = parse_specs(spec)
    if len(specs) != 1:
        raise SpecError(f"{spec!r} names {len(specs)} strategies where one is expected")
    item = entry(specs[0].name)
    text = str(specs[0])
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, asdict(item), text), daemon=True)
    process.start()
    theirs.close()
    try:
        return _listen(ours, process, item, text, timeout_s)
    finally:
        process.kill()
        process.join()
        ours.close()


def check_all(names: list[str], timeout_s: float = 60.0) -> Iterator[Checked]:
    """Check one selector after the other; one that cannot be looked up is broken and stops no other."""
    for name in names:
        try:
            yield check_selector(name, timeout_s)
        except PluginError as error:
            yield Checked(name, "", "broken", cause=str(error))


def _listen(ours: Connection, process: Any, item: Entry, text: str, timeout_s: float) -> Checked:
    first, reason = _receive(ours, process, STARTUP_S)
    if reason:
        return Checked(text, item.source, "broken", cause=f"its import {reason}", remedy=update_remedy(item))
    if first["status"] == "usage":
        raise SpecError(first["cause"])
    if first["status"] != "ok":
        return Checked(text, item.source, first["status"], cause=first["cause"], remedy=first["remedy"])
    results: list[CheckResult] = []
    for name in CHECKS:
        result, reason = _receive(ours, process, timeout_s)
        results.append(CheckResult(name, False, f"it {reason}") if reason else result)
        if reason:
            break
    status = "ok" if all(result.ok for result in results) else "failed"
    return Checked(first["spec"], item.source, status, tuple(results))


def _receive(ours: Connection, process: Any, timeout_s: float) -> tuple[Any, str]:
    """The next message, or why there is none."""
    try:
        if not ours.poll(timeout_s):
            return None, f"took longer than {timeout_s:g} s and was stopped"
        return ours.recv(), ""
    except (EOFError, OSError):
        process.join(timeout=5)
        return None, f"ended the process (exit code {process.exitcode})"


def _serve(theirs: Connection, item: dict[str, str], text: str) -> None:
    # Ctrl-C is the parent's to handle; and what a plug-in prints must not mix with results on stdout.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    first = _first(item, text)
    theirs.send(first)
    if first["status"] == "ok":
        for check in selector_checks(text):
            try:
                result = check.run()
            except BaseException as error:  # SystemExit and the like end no more than the check
                result = CheckResult(check.name, False, in_one_line(error))
            theirs.send(result)
    theirs.close()
    os._exit(0)  # what a plug-in started (threads, exit handlers) may not hold the answer up


def _first(item: dict[str, str], text: str) -> dict[str, str]:
    """Whether the selector can be checked: imported, its requirements there, built from its spec."""
    from ttft_bench.registry import build_selector

    found = describe(item)
    if found["status"] != "ok":
        return {key: str(found[key]) for key in ("status", "cause", "remedy")}
    try:
        return {"status": "ok", "spec": repr(build_selector(text))}
    except UsageError as error:
        return {"status": "usage", "cause": str(error)}
    except BrokenPluginError as error:
        return {"status": "broken", "cause": str(error), "remedy": ""}
    except TtftBenchError:
        return {"status": "ok", "spec": text}  # a contract broken at building: the checks say which and why
    except BaseException as error:
        return {"status": "broken", "cause": in_one_line(error), "remedy": update_remedy(Entry(**item))}


__all__ = ["Checked", "check_all", "check_selector"]
