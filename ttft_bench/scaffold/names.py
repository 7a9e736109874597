"""The names of one plug-in: as people type it, as a distribution, a module and a class."""

from __future__ import annotations

import builtins
import keyword
import re
from dataclasses import dataclass

from ttft_bench.errors import UsageError
from ttft_bench.registry import SUITES, entries, kind_of

#: Modules of ttft-bench itself; a plug-in of that module, or distribution, would be installed in its place.
_OUR_MODULES = ("ttft_bench", "ttft_strategies", "ttft_suites")
#: What a class called so would hide from its own body, beside what Python itself offers.
_IMPORTED = ("Path", "Problem", "Selection", "Selector")

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 50


@dataclass(frozen=True)
class Names:
    """One name in every spelling.

    Attributes:
        name: as in a spec, e.g. ``my-idea``.
    """

    name: str

    @property
    def distribution(self) -> str:
        """What pip calls it, e.g. ``ttft-my-idea``."""
        return f"ttft-{self.name.removeprefix('ttft-')}"

    @property
    def module(self) -> str:
        """What Python imports, e.g. ``ttft_my_idea``."""
        return self.distribution.replace("-", "_")

    @property
    def cls(self) -> str:
        """The class, e.g. ``MyIdea``."""
        return "".join(part.capitalize() for part in self.name.split("-"))


def check_name(name: str, group: str) -> Names:
    """Check a name for a new plug-in.

    Args:
        name: lower-case words joined by hyphens.
        group: entry-point group that it will be in.

    Raises:
        UsageError: it cannot be a name, is taken by something installed, or would replace or hide what is needed.
    """
    kind = kind_of(group)
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST].strip("-")
        hint = f"; try {near}" if _NAME.fullmatch(near) else ""
        raise UsageError(
            f"{name!r} cannot be the name of a {kind}: at most {_LONGEST} lower-case letters and digits, words joined "
            f"by single hyphens, a letter first{hint}"
        )
    names = Names(name)
    if name == "new":
        raise UsageError("'new' is what makes plug-ins, so it cannot be the name of one: choose another")
    if keyword.iskeyword(names.cls):
        raise UsageError(f"{name!r} cannot be the name of a {kind}: its class would be the word {names.cls} of Python")
    if names.module in _OUR_MODULES:
        raise UsageError(
            f"{name!r} cannot be the name of a {kind}: its module would be {names.module}, which is a part of "
            f"ttft-bench and would be replaced; try my-{name.removeprefix('ttft-')}"
        )
    if group != SUITES and (names.cls in _IMPORTED or hasattr(builtins, names.cls)):  # a suite has no class
        raise UsageError(
            f"{name!r} cannot be the name of a {kind}: its class would be {names.cls}, which hides what the plug-in "
            f"needs of that name; try my-{name}"
        )
    for item in entries(group):
        if item.name == name:
            raise UsageError(
                f"{kind} {name!r} is there already, from {item.source}: two of one name cannot be told apart, so "
                "choose another"
            )
    return names


__all__ = ["Names", "check_name"]
