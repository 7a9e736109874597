"""Asking a child process about things that may crash, exit or hang: plug-ins, libraries, devices.

Both sides of one protocol: :func:`ask_each` starts ``python -m MODULE`` and reads one answer per item; the module calls
:func:`serve`. Where a child dies or hangs, a fresh one goes on behind that item. What an item does may strike a later
one in the same child (a thread that ends the process, a filter of warnings), so one that fails behind others is asked
once more in a child of its own before anything bad is said of it.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import IO, Any, TextIO


def ask_each(
    module: str,
    items: Sequence[dict[str, Any]],
    timeout_s: float,
    work: str,
    doubtful: Callable[[dict[str, Any], dict[str, Any]], bool] = lambda item, answer: False,
) -> list[dict[str, Any] | str]:
    """Ask a child about each item.

    Args:
        module: what the child runs; its program calls :func:`serve`.
        items: plain data.
        timeout_s: seconds that one answer may take.
        work: what the child does with an item, for what is said when it fails, e.g. "import".
        doubtful: whether the answer to an item may be another's fault, so that it is asked again alone.

    Returns:
        For each item the answer, or why there is none.
    """
    answers: list[dict[str, Any] | str] = []
    while len(answers) < len(items):
        start = len(answers)
        got, failure = _ask_child(module, items[start:], timeout_s, work)
        answers += [*got, failure] if failure else got
        for place in range(start + 1, len(answers)):  # the first of a child had it for itself
            answer = answers[place]
            if isinstance(answer, str) or doubtful(items[place], answer):
                alone, why = _ask_child(module, items[place : place + 1], timeout_s, work)
                answers[place] = why or alone[0]
    return answers


def _ask_child(
    module: str, items: Sequence[dict[str, Any]], timeout_s: float, work: str
) -> tuple[list[dict[str, Any]], str]:
    """Answers of one child, and what went wrong with the item after the last of them, if anything."""
    job = json.dumps({"path": sys.path, "items": list(items)}).encode()
    answers: list[dict[str, Any]] = []
    with tempfile.TemporaryFile() as noise:
        # -P: the current folder is not on the path, where a file named like a module would be imported.
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=noise
        )
        assert child.stdin is not None and child.stdout is not None
        lines: queue.Queue[bytes] = queue.Queue()
        reader = threading.Thread(target=_read_lines, args=(child.stdout, lines), daemon=True)
        reader.start()
        try:
            child.stdin.write(job)
            child.stdin.close()
            while len(answers) < len(items):
                line = lines.get(timeout=timeout_s)
                if not line:
                    child.wait()
                    return answers, f"its {work} ended the process ({_ending(child.returncode, noise)})"
                answers.append(json.loads(line))
            return answers, ""
        except BrokenPipeError:
            return answers, f"the probing process ended early ({_ending(child.wait(), noise)})"
        except queue.Empty:
            return answers, f"its {work} took longer than {timeout_s:g} s"
        finally:
            child.kill()
            child.wait()
            reader.join(timeout=1.0)  # longer where a grandchild holds the pipe; the daemon thread keeps it then


def _read_lines(stream: IO[bytes], lines: queue.Queue[bytes]) -> None:
    with stream:  # by whom it is read: nobody else knows when the last line has come
        for line in stream:
            lines.put(line)
    lines.put(b"")


def _ending(returncode: int, noise: IO[bytes]) -> str:
    noise.seek(0)
    said = noise.read().decode("utf-8", "replace").strip().splitlines()
    code = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
    return f"{code}, last words: {said[-1][:200]}" if said else code


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The child's side: answer each item of the job on stdin with one line, flushed, on what was stdout at the start.

    Whatever anything else prints goes to stderr, and nothing that was started may hold the process up at its end.
    """
    answers = _claim_stdout()
    job = json.loads(sys.stdin.buffer.read())
    sys.path[:] = job["path"]
    for item in job["items"]:
        answers.write(json.dumps(answer(item)) + "\n")
        answers.flush()
    answers.close()
    os._exit(0)


def _claim_stdout() -> TextIO:
    """Keep stdout for the protocol: everybody else's file descriptor 1 becomes stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


__all__ = ["ask_each", "serve"]
