"""One thing that the doctor found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One examined thing.

    Attributes:
        section: libraries | devices | storage | plug-ins.
        name: what was examined.
        status: a ``problem`` keeps something from working; a ``warning`` makes it slow or may do so later.
        detail: what was found, in words.
        remedy: what to do; empty where all is well.
        data: the same in figures, units in the names.
    """

    section: str
    name: str
    status: Status = "ok"
    detail: str = ""
    remedy: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


__all__ = ["Finding", "Status"]
