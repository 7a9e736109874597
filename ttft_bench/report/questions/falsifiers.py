"""Question 3: what would falsify a claim, stated before the runs, as data that a suite's authors write in TOML.

A file holds ``[[falsifier]]`` tables; :class:`Falsifier` documents the keys. The sentences about comparison and
threshold are made from the keys that are computed with, so that words and computation cannot part.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ttft_bench.engine.choices import REUSE_MODES
from ttft_bench.errors import SuiteError
from ttft_bench.report.markdown import plain
from ttft_bench.report.paired.significance import EQUIVALENCE_MARGIN
from ttft_bench.report.paired.split import SCOPE_COLUMNS

Kind = Literal["equal-time", "equal-budget", "lower-residual", "reuse-mode", "persists"]

#: The rule that turns an interval into a verdict, printed above every table of falsifiers.
RULE = (
    "Advantage: BPB% of the rival minus BPB% of the subject, paired over prompts, with a BCa bootstrap interval over "
    "groups. All intervals of one row hold together at 95 % (Bonferroni). A comparison *stands* if its interval lies "
    "above 0 and reaches the margin, *falsifies* if it lies wholly below the margin, and is *not decided* otherwise, "
    "or with fewer than 30 prompts or 10 groups. A row is falsified if one of its comparisons falsifies, stands if "
    "all of them stand, and is not decided otherwise."
)

#: The values that a key may have. A reuse mode is held against the usual one, so that one is no choice.
_CHOICES: dict[str, tuple[str, ...]] = {
    "kind": get_args(Kind),
    "reuse": ("off", "on"),
    "mode": tuple(mode for mode in REUSE_MODES if mode != "cached"),
    "vary": ("stratum", *SCOPE_COLUMNS),
}


def _is_finite(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


#: What a value must be, in words and as a test, by the type of its key; words if there is no other.
_WORDS: tuple[str, Callable[[Any], bool]] = ("text", lambda value: isinstance(value, str))
_SHAPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "float": ("a finite number", _is_finite),
    "tuple[str, ...]": (
        "a list of strategies",
        lambda value: isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value),
    ),
}


@dataclass(frozen=True)
class Falsifier:
    """One row of the table.

    Attributes:
        id: short name.
        claim: what is claimed.
        falsified_if: what would falsify it, in words.
        kind: how it is computed, see below.
        subject: spec of the claim's strategy.
        rivals: specs it is held against; ``name[...]`` stands for every variant of a name.
        suite: suite whose runs decide it.
        margin: smallest advantage worth having, in points of BPB%.
        reuse: for ``equal-budget``, whether gradients are reused: off, on (the smallest shared interval above 1).
        mode: for ``reuse-mode``, the rival's mode.
        vary: for ``persists``: ``stratum`` (only prompts of the stratum ``clean``), or a column such as ``model`` of
            which every further value must agree with the first scope.
        min_reduction: for ``lower-residual``, the least relative reduction that makes a comparison informative.

    Kinds:
        - ``equal-time``: at five times that follow from times alone (the usual times of the two lines);
        - ``equal-budget``: at the largest budget that both have;
        - ``lower-residual``: likewise, and only where the subject's residual is lower by ``min_reduction``;
        - ``reuse-mode``: the subject's cached gradients against another reuse mode, at every interval both have;
        - ``persists``: at the largest shared budget in other rows than the first scope's, see ``vary``.
    """

    id: str
    claim: str
    falsified_if: str
    kind: Kind
    subject: str
    rivals: tuple[str, ...]
    suite: str
    margin: float = EQUIVALENCE_MARGIN
    reuse: Literal["off", "on"] = "off"
    mode: str = ""
    vary: str = ""
    min_reduction: float = 0.05

    @property
    def comparison(self) -> str:
        """The exact comparison, in words."""
        rivals = ", ".join(f"`{rival}`" for rival in self.rivals)
        against = f"`{self.subject}` against {rivals}"
        reuse = "without reuse" if self.reuse == "off" else "with reuse on both sides"
        return {
            "equal-time": f"{against}: BPB% at five equal times, each line with all its budgets and reuse settings",
            "equal-budget": f"{against}: at the largest shared budget, {reuse}",
            "lower-residual": (
                f"{against}: at the largest shared budget, where the residual is at least "
                f"{100 * self.min_reduction:g} % lower (its interval too below 0)"
            ),
            "reuse-mode": (
                f"`{self.subject}` with mode `cached` against mode `{self.mode}`, at the largest shared budget, for "
                "every reuse interval above 1"
            ),
            "persists": (
                f"{against}: at the largest shared budget, on "
                + ("prompts of stratum `clean`" if self.vary == "stratum" else f"every other `{self.vary}`")
                + ", if the advantage stands on all prompts of the first scope"
            ),
        }[self.kind]

    @property
    def threshold(self) -> str:
        """The exact threshold, in words."""
        return f"upper end of an interval of the advantage below {self.margin:g} BPB%"


def read_falsifiers(path: Path) -> tuple[Falsifier, ...]:
    """Read a file of falsifiers.

    Raises:
        SuiteError: it cannot be read, a key is unknown or missing, or a value is none that is allowed.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("falsifier", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SuiteError(f"falsifiers {path} cannot be read as TOML: {error}") from error
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise SuiteError(f"falsifiers {path}: falsifier must be a list of tables, each begun by [[falsifier]]")
    found = tuple(_build(table, path) for table in tables)
    if not found:
        raise SuiteError(f"falsifiers {path} holds no [[falsifier]] table")
    return found


def read_files(paths: Iterable[Path]) -> tuple[tuple[Falsifier, ...], tuple[str, ...]]:
    """The claims of all files that can be read, and what is wrong with the others: no such file costs a report."""
    claims: list[Falsifier] = []
    faults = []
    for path in paths:
        try:
            claims += read_falsifiers(path)
        except SuiteError as error:
            faults.append(f"{error}; its claims are left out until it is mended")
    return tuple(claims), tuple(faults)


def _build(table: dict[str, Any], path: Path) -> Falsifier:
    fields = {field.name: field for field in dataclasses.fields(Falsifier)}
    name = table.get("id", "(no id)")
    unknown = sorted(set(table) - set(fields))
    missing = [key for key, field in fields.items() if field.default is dataclasses.MISSING and key not in table]
    if unknown or missing:
        what = f"unknown key {unknown[0]}" if unknown else f"key {missing[0]} is missing"
        raise SuiteError(f"falsifiers {path}, {name}: {what}; the keys are {', '.join(fields)}")
    for key, allowed in _CHOICES.items():
        if key in table and table[key] not in (*allowed, fields[key].default):
            raise SuiteError(
                f"falsifiers {path}, {name}: {key} must be one of {', '.join(allowed)}, got {table[key]!r}"
            )
    for key, field in fields.items():
        wanted, holds = _SHAPES.get(str(field.type), _WORDS)
        if key in table and not holds(table[key]):
            raise SuiteError(f"falsifiers {path}, {name}: {key} must be {wanted}, got {table[key]!r}")
    for key in ("mode", "vary"):
        if table["kind"] == {"mode": "reuse-mode", "vary": "persists"}[key] and not table.get(key):
            raise SuiteError(f"falsifiers {path}, {name}: kind {table['kind']} needs the key {key}")
    return Falsifier(**{**table, "rivals": tuple(table["rivals"])})


def table_lines(falsifiers: Sequence[Falsifier]) -> list[str]:
    """The table of claims and thresholds as Markdown, as it stands in the pre-registration."""
    header = ("id", "claim", "falsified if", "comparison", "threshold", "suite")
    rows = [
        (
            f"`{item.id}`",
            plain(item.claim),
            plain(item.falsified_if),
            item.comparison,
            item.threshold,
            f"`{item.suite}`",
        )
        for item in falsifiers
    ]
    return [
        f"| {' | '.join(header)} |",
        "|" + "---|" * len(header),
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


__all__ = ["RULE", "Falsifier", "Kind", "read_falsifiers", "read_files", "table_lines"]
