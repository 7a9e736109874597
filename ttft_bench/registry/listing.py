"""The parent's side of a listing: drive :mod:`ttft_bench.registry.probe` and turn its answers into rows."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import asdict
from typing import IO, Any

from ttft_bench.registry import Row
from ttft_bench.registry.installed import Entry, duplicate_remedy, update_remedy


def probe_rows(found: list[Entry], timeout_s: float) -> list[Row]:
    """One row per entry, in order; names offered twice are not imported, only reported."""
    names = Counter(item.name for item in found)
    single = [item for item in found if names[item.name] == 1]
    answers = dict(zip(single, _ask(single, timeout_s), strict=True))
    rows = []
    for item in found:
        answer = answers.get(item) or _duplicate(item, [other for other in found if other.name == item.name])
        answer["requires"] = tuple(answer.get("requires", ()))
        rows.append(Row(item.name, item.distribution, item.version, item.built_in, **answer))
    return rows


def _duplicate(item: Entry, same_name: list[Entry]) -> dict[str, Any]:
    others = " and ".join(other.source for other in same_name if other != item)
    return {
        "status": "duplicate",
        "cause": f"also offered by {others}",
        "remedy": duplicate_remedy(same_name),
    }


def _ask(items: list[Entry], timeout_s: float) -> list[dict[str, Any]]:
    """Ask a child about each entry; where it dies or hangs, a fresh one goes on behind that entry."""
    answers: list[dict[str, Any]] = []
    while len(answers) < len(items):
        got, failure = _ask_child(items[len(answers) :], timeout_s)
        answers += got
        if failure:
            remedy = update_remedy(items[len(answers)])
            answers.append({"status": "broken", "cause": failure, "remedy": remedy})
    return answers


def _ask_child(items: list[Entry], timeout_s: float) -> tuple[list[dict[str, Any]], str]:
    """Answers of one child, and what went wrong with the entry after the last of them, if anything."""
    job = json.dumps({"path": sys.path, "entries": [asdict(item) for item in items]}).encode()
    answers: list[dict[str, Any]] = []
    with tempfile.TemporaryFile() as noise:
        # -P: the current folder is not on the path, where a file named like a module would be imported.
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "ttft_bench.registry.probe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=noise,
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
                    return answers, f"its import ended the process ({_ending(child.returncode, noise)})"
                answers.append(json.loads(line))
            return answers, ""
        except BrokenPipeError:
            return answers, f"the probing process ended early ({_ending(child.wait(), noise)})"
        except queue.Empty:
            return answers, f"its import took longer than {timeout_s:g} s"
        finally:
            child.kill()
            child.wait()
            reader.join(timeout=1.0)
            if not reader.is_alive():  # else a grandchild holds the pipe; the daemon thread keeps it
                child.stdout.close()


def _read_lines(stream: IO[bytes], lines: queue.Queue[bytes]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(b"")


def _ending(returncode: int, noise: IO[bytes]) -> str:
    noise.seek(0)
    said = noise.read().decode("utf-8", "replace").strip().splitlines()
    code = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
    return f"{code}, last words: {said[-1][:200]}" if said else code


__all__ = ["probe_rows"]
