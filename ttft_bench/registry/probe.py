"""The child process that imports plug-ins for a listing: ``python -m ttft_bench.registry.probe``.

It answers each entry point with what a row of the listing says of it (:mod:`ttft_bench.registry.children`).
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

from ttft_bench.registry.children import serve


def describe(item: dict[str, str]) -> dict[str, Any]:
    """Import one entry point and describe what is behind it, a selector class in full, or why there is nothing."""
    from ttft_bench import registry
    from ttft_bench.registry import installed
    from ttft_bench.selector import format_value

    entry = installed.Entry(**item)
    try:
        found = importlib.metadata.EntryPoint(entry.name, entry.value, entry.group).load()
        if entry.group != installed.SELECTORS:
            summary = (getattr(found, "__doc__", "") or "").strip() if callable(found) else ""
            return {"status": "ok", "summary": summary.partition("\n")[0]}
        fault = registry.selector_class_fault(found)
        if fault:
            return {"status": "broken", "cause": f"it {fault}", "remedy": "tell its author"}
        requires = installed.requirements_of(found)
        missing = installed.missing_distributions(requires)
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


def main() -> None:
    """Answer the job on stdin."""
    serve(describe)


if __name__ == "__main__":
    main()
