"""The child process that imports plug-ins for a listing: ``python -m ttft_bench.registry.probe``.

Reads one JSON job from stdin, ``{"path": [...], "entries": [{...}, ...]}``, and answers each entry in order
with one JSON line, flushed, on what was stdout at the start. Whatever plug-ins print goes to stderr.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from typing import Any, TextIO


def describe(item: dict[str, str]) -> dict[str, Any]:
    """Import one entry point and describe the selector class behind it, or why there is none."""
    from ttft_bench import registry
    from ttft_bench.registry import installed
    from ttft_bench.selector import format_value

    entry = installed.Entry(**item)
    try:
        found = importlib.metadata.EntryPoint(entry.name, entry.value, entry.group).load()
        fault = registry.selector_class_fault(found)
        if fault:
            return {"status": "broken", "cause": f"it {fault}", "remedy": "tell its author"}
        requires = tuple(str(requirement) for requirement in found.requires)
        missing = installed.missing_distributions(list(requires))
        parameters = {name: format_value(parameter.default) for name, parameter in found.parameters().items()}
        return {
            "status": "missing-requirement" if missing else "ok",
            "cause": f"not installed: {', '.join(missing)}" if missing else "",
            "remedy": f"pip install {' '.join(missing)}" if missing else "",
            "requires": requires,
            "summary": ((found.__doc__ or "").strip().splitlines() or [""])[0],
            "parameters": parameters,
            **{flag: bool(getattr(found, flag)) for flag in ("nested", "adaptive", "repeats", "stochastic")},
        }
    except BaseException as error:  # SystemExit and the like are causes here, never our end
        cause, remedy = installed.import_failure(error, entry)
        missing_module = isinstance(error, ModuleNotFoundError)
        status = "missing-requirement" if missing_module and "--force" not in remedy else "broken"
        return {"status": status, "cause": cause, "remedy": remedy}


def _claim_stdout() -> TextIO:
    """Keep stdout for the protocol: everybody else's file descriptor 1 becomes stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def main() -> None:
    """Answer the job on stdin."""
    answers = _claim_stdout()
    job = json.loads(sys.stdin.buffer.read())
    sys.path[:] = job["path"]
    for item in job["entries"]:
        answers.write(json.dumps(describe(item)) + "\n")
        answers.flush()
    answers.close()
    os._exit(0)  # what a plug-in started (threads, exit handlers) may not hold the listing up


if __name__ == "__main__":
    main()
