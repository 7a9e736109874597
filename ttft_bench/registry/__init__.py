"""One registry for everything that plugs in, over the entry points of installed distributions.

Built-ins and a stranger's plug-ins register alike. Names are lazy: looking up and listing import no plug-in
into this process; :func:`build_selector` imports the one asked for.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ttft_bench.errors import BrokenPluginError, ContractError, PluginError, SpecError, UsageError
from ttft_bench.registry.installed import (
    ASSETS,
    CORPORA,
    EMBEDDERS,
    FALSIFIERS,
    GROUPS,
    SELECTORS,
    SUITES,
    Entry,
    distribution_of,
    duplicate_message,
    duplicates,
    entries,
    entry,
    import_failure,
    in_one_line,
    kind_of,
    update_remedy,
)
from ttft_bench.selector import Selector
from ttft_bench.specs import Spec, fit_parameters, parse_specs


@dataclass(frozen=True)
class Row:
    """One line of a listing: what a strategy is, and whether it can be used.

    ``status`` is ok | missing-requirement | broken | duplicate; unless ok, ``cause`` says why and
    ``remedy`` what to do. ``parameters`` maps each constructor parameter to its default as written in specs.
    """

    name: str
    distribution: str
    version: str
    built_in: bool
    status: str = "ok"
    cause: str = ""
    remedy: str = ""
    requires: tuple[str, ...] = ()
    nested: bool = False
    adaptive: bool = False
    repeats: bool = True
    stochastic: bool = False
    summary: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


def load(name: str, group: str = SELECTORS) -> Any:
    """Import what a name stands for.

    Raises:
        UnknownPluginError: nothing of that name is installed.
        DuplicateNameError: several distributions offer it.
        BrokenPluginError: importing it failed, with cause, distribution and remedy.
    """
    item = entry(name, group)
    try:
        return importlib.metadata.EntryPoint(name, item.value, group).load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit at import is a broken plug-in, not our end
        cause, remedy = import_failure(error, item)
        raise BrokenPluginError(
            f"{kind_of(group)} {name!r} of {item.source} cannot be imported: {cause}; {remedy}"
        ) from error


def ensure_importable(name: str, group: str = SELECTORS, timeout_s: float = 20.0) -> None:
    """Have a child process import a stranger's plug-in, unless it is here already.

    One that hangs, crashes or ends the process when it is imported must not do so to ours.

    Raises:
        UnknownPluginError, DuplicateNameError: as for :func:`load`.
        BrokenPluginError: the child could not import it, or took longer than ``timeout_s`` seconds.
    """
    from ttft_bench.registry.listing import probe_rows

    item = entry(name, group)
    if item.built_in or item.value.partition(":")[0].strip() in sys.modules:
        return
    (row,) = probe_rows([item], timeout_s)
    if row.status == "broken":
        raise BrokenPluginError(f"{kind_of(group)} {name!r} of {item.source} cannot be used: {row.cause}; {row.remedy}")


def file_of(name: str, group: str) -> Path:
    """The file that a member of a group stands for: what is behind the name is a function that returns its path.

    Raises:
        UnknownPluginError, DuplicateNameError: as for :func:`load`.
        BrokenPluginError: it cannot be imported, failed, hangs, or returned no path of a file.
    """
    ensure_importable(name, group)
    item = entry(name, group)
    path, fault = _ask_path(item) if not item.built_in else (str(load(name, group)()), "")
    if not fault and not Path(path).is_file():
        fault = f"{path} is no file"
    if fault:
        raise BrokenPluginError(f"{kind_of(group)} {name!r} of {item.source}: {fault}; {update_remedy(item)}")
    return Path(path)


def _ask_path(item: Entry, timeout_s: float = 20.0) -> tuple[str, str]:
    """The path that a stranger's function returns, as a child process tells it, and what is wrong with it."""
    from ttft_bench.registry.children import ask_each

    (answer,) = ask_each("ttft_bench.registry.paths", [asdict(item)], timeout_s, "function")
    told = {"fault": answer} if isinstance(answer, str) else answer
    return told.get("path", ""), told.get("fault", "")


def files(group: str, note: Callable[[str], None]) -> list[Path]:
    """The files that all members of a group stand for; of one that is broken ``note`` is told in one line."""
    found = []
    for name in sorted({item.name for item in entries(group)}):
        try:
            found.append(file_of(name, group))
        except PluginError as error:
            note(f"warning: left out: {error}")
    return found


def load_selector(name: str) -> type[Selector]:
    """Import the selector class behind a name.

    Raises:
        BrokenPluginError: also if it is not a concrete :class:`~ttft_bench.selector.Selector`.
    """
    found = load(name)
    reason = selector_class_fault(found)
    if reason:
        raise BrokenPluginError(f"strategy {name!r} of {distribution_of(name)} {reason}; tell its author")
    assert isinstance(found, type)
    return found


def selector_class_fault(found: Any) -> str:
    """Why an imported object cannot serve as a selector class; empty if it can."""
    if not (isinstance(found, type) and issubclass(found, Selector)):
        return f"is {found!r}, not a subclass of ttft_bench.selector.Selector"
    if inspect.isabstract(found):
        return f"does not implement {', '.join(sorted(found.__abstractmethods__))}"
    return ""


def build_selector(spec: str) -> Selector:
    """Build one selector from its spec; ``repr`` of the result is the canonical spec.

    Raises:
        SpecError: the spec does not parse, or a parameter is unknown or unfit.
        UnknownPluginError: no such strategy is installed.
        DuplicateNameError: two distributions offer it.
        BrokenPluginError: it cannot be imported.
        ContractError: its ``repr`` is not its spec.
    """
    specs = parse_specs(spec)
    if len(specs) != 1:
        raise SpecError(f"{spec!r} names {len(specs)} strategies where one is expected")
    wanted = specs[0]
    cls = load_selector(wanted.name)
    params = fit_parameters(wanted, cls.parameters())
    try:
        selector = cls(**params)
    except (ValueError, UsageError) as error:
        raise SpecError(f"{wanted}: {error}") from error
    except (Exception, SystemExit) as error:  # a constructor that exits is broken, not our end
        raise BrokenPluginError(
            f"strategy {wanted} of {distribution_of(wanted.name)} cannot be built: {in_one_line(error)}; "
            "tell its author"
        ) from error
    object.__setattr__(selector, "name", wanted.name)  # a frozen dataclass is a selector like any other
    if type(selector).__repr__ is not Selector.__repr__:
        raise ContractError(
            f"strategy {wanted.name!r} of {distribution_of(wanted.name)} replaces Selector.__repr__, which "
            "is its spec; a dataclass needs repr=False"
        )
    return selector


def list_selectors(timeout_s: float = 20.0) -> list[Row]:
    """List every installed strategy with a status, importing none of them here.

    The imports happen in a child process: a plug-in that fails, exits, crashes or takes longer than
    ``timeout_s`` seconds is a row that says so.
    """
    return list_group(SELECTORS, timeout_s)


def list_group(group: str, timeout_s: float = 20.0) -> list[Row]:
    """List everything installed in any group, like :func:`list_selectors`; what only strategies have stays empty."""
    from ttft_bench.registry.listing import probe_rows

    return probe_rows(entries(group), timeout_s)


__all__ = [
    "ASSETS",
    "CORPORA",
    "EMBEDDERS",
    "FALSIFIERS",
    "GROUPS",
    "SELECTORS",
    "SUITES",
    "Entry",
    "Row",
    "Spec",
    "build_selector",
    "distribution_of",
    "duplicate_message",
    "duplicates",
    "ensure_importable",
    "entries",
    "entry",
    "file_of",
    "files",
    "kind_of",
    "list_group",
    "list_selectors",
    "load",
    "load_selector",
    "parse_specs",
]
