"""Several run folders made one: every cell once, the origin of each kept, conflicts named.

A cell that several runs hold is kept once. Where one of them succeeded and another did not, the success is kept. Where
two succeeded and differ, the run that was named first wins, and the conflict is listed: in *bits* (``bpb_after`` or the
picks differ: one of them cannot be right, or the machine rounds differently) or in *time* (measured twice).

Picks name documents by their place in the corpus. Of runs with different corpora the rows are joined, but neither picks
nor texts: one number would stand for two documents.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ttft_bench.errors import UsageError
from ttft_bench.sweep import store
from ttft_bench.sweep.schema import SCHEMA_VERSION

#: Columns that say who wrote a row, not what it found.
_ORIGIN = ("run_id", "schema_version")
#: Columns of which two measurements of one cell must agree.
_RESULT = ("bpb_before", "bpb_after", "bpb_pct", "document_ids", "bytes_scored", "tokens_scored")
#: Parts of the manifest that every run brings along.
_KEPT = ("run_id", "created", "state", "suite", "plan", "identity", "provenance", "wall_s", "merged")
#: Lists of a plan that are joined.
_JOINED = ("strategies", "controls", "budgets", "reuse", "arms", "reuse_modes")


@dataclass(frozen=True)
class Conflict:
    """A cell that two runs measured with different results; the row of ``kept`` stays."""

    cell_id: str
    kind: Literal["bits", "time"]
    columns: tuple[str, ...]
    kept: str
    dropped: str
    what: str


@dataclass(frozen=True)
class Merged:
    """What a merge made.

    Attributes:
        path: the new run folder.
        rows: number of cells in it.
        by_run: number of cells from each run.
        repeated: cells that several runs hold with the same result.
        replaced: cells that failed in one run and succeeded in another.
        conflicts: cells whose results differ.
        warnings: what was dropped while reading, and what was left out.
    """

    path: str
    rows: int
    by_run: Mapping[str, int]
    repeated: int
    replaced: int
    conflicts: tuple[Conflict, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def merge_runs(paths: Sequence[Path], output: Path, *, compress: bool = False) -> Merged:
    """Merge run folders into a new one.

    Args:
        paths: at least two run folders; of conflicting cells the first one's stay.
        output: folder that does not exist yet, or is empty.
        compress: write its journals compressed, as a run is kept in a repository.

    Raises:
        UsageError: fewer than two runs, one of them given twice or missing, or the output holds something.
        CorpusError: a folder is no run, or its rows are of a newer schema.
        StorageError: the output cannot be written.
    """
    if len(paths) < 2:
        raise UsageError("a merge takes at least two run folders: name another one")
    resolved = [path.resolve() for path in paths]
    twice = next((path for path, count in Counter(resolved).items() if count > 1), None)
    if twice is not None:
        raise UsageError(f"run {twice} is given twice: name each one once")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output} is not empty: give another --output, so that no run is overwritten")
    return write_merge(paths, output, compress=compress)


def write_merge(paths: Sequence[Path], output: Path, *, compress: bool = False, **facts: Any) -> Merged:
    """Merge run folders into a folder; what an earlier merge wrote there is replaced.

    Args:
        paths: run folders; of conflicting cells the first one's stay.
        output: the folder.
        compress: write its journals compressed.
        facts: further entries of its manifest.
    """
    runs = [store.load_run(path) for path in paths]
    labels = _labels(paths)
    apart = _apart(labels, runs)
    kept: dict[str, tuple[str, dict[str, Any]]] = {}
    conflicts: list[Conflict] = []
    repeated = replaced = 0
    for label, run in zip(labels, runs, strict=True):
        for row in run.rows:
            cell = str(row["cell_id"])
            if cell not in kept:
                kept[cell] = (label, row)
                continue
            owner, before = kept[cell]
            if before["status"] != "ok" and row["status"] == "ok":
                kept[cell] = (label, row)
                replaced += 1
            elif before["status"] == "ok" and row["status"] != "ok":
                replaced += 1
            elif different := _different(before, row):
                conflicts.append(_conflict(cell, different, owner, label, before))
            else:
                repeated += 1
    with store.writing(output):
        for name in store.JOURNALS:
            store.remove_journal(output / name)
        with store.Journal(output / store.RESULTS) as journal:
            for _, row in kept.values():
                journal.append(row)
        for name in (store.ALIGNMENT,) if apart else store.JOURNALS[1:]:
            _join_journals([run.path / name for run in runs], output / name)
        store.write_manifest(output, {**_manifest(labels, runs, conflicts), **facts})
        if compress:
            store.compress_journals(output)
        merged = store.load_run(output)
        store.write_tables(merged)
    dropped = (f"{label}: {text}" for label, run in zip(labels, runs, strict=True) for text in run.warnings)
    return Merged(
        path=str(output),
        rows=len(kept),
        by_run={label: sum(owner == label for owner, _ in kept.values()) for label in labels},
        repeated=repeated,
        replaced=replaced,
        conflicts=tuple(conflicts),
        warnings=(*dropped, *apart, *_of_several_suites(runs)),
    )


def _labels(paths: Sequence[Path]) -> list[str]:
    """Names of the folders; whole paths where two folders have the same name."""
    names = [path.resolve().name for path in paths]
    return [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]


def _apart(labels: Sequence[str], runs: Sequence[store.Run]) -> list[str]:
    """Why picks and documents cannot be joined, in one line; nothing if they can, or if there are none."""
    identities = [run.manifest.get("identity") or {} for run in runs]
    corpora = [(identity.get("corpus"), identity.get("train_documents")) for identity in identities]
    # A list is what an earlier merge made of several.
    mixed = any(isinstance(value, list) for corpus in corpora for value in corpus)
    there = any(store.has_journal(run.path / name) for run in runs for name in (store.PICKS, store.DOCUMENTS))
    if not there or not (mixed or any(corpus != corpora[0] for corpus in corpora)):
        return []
    shown = "; ".join(f"{label}: {name} ({train})" for label, (name, train) in zip(labels, corpora, strict=True))
    return [
        "picks and documents are left out: the runs are of different corpora, in which one number is two documents "
        f"({shown}); for `align` and `sweep --picks`, use the runs themselves"
    ]


def _suite_names(runs: Sequence[store.Run]) -> list[str]:
    return list(dict.fromkeys(str((run.manifest.get("suite") or {}).get("name", "unnamed")) for run in runs))


def _of_several_suites(runs: Sequence[store.Run]) -> list[str]:
    """That the runs are of different suites, which is legitimate and easily a slip."""
    names = _suite_names(runs)
    if len(names) < 2:
        return []
    return [
        f"the runs are of different suites ({', '.join(names)}): a report keeps apart what their rows say differs, and "
        "takes the rest of their settings to be equal; `ttft-bench compare` lists what is not"
    ]


def _different(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in one if name not in _ORIGIN and one[name] != other[name])


def _conflict(cell: str, columns: tuple[str, ...], kept: str, dropped: str, row: Mapping[str, Any]) -> Conflict:
    kind: Literal["bits", "time"] = "bits" if set(columns) & set(_RESULT) else "time"
    what = f"{row['strategy']} at N = {row['budget']}, reuse {row['reuse_interval']}, prompt {row['prompt_id']}"
    return Conflict(cell, kind, columns, kept, dropped, what)


def _join_journals(sources: Sequence[Path], target: Path) -> None:
    """Append the records of several journals, each once, if there are any."""
    seen: set[str] = set()
    records = []
    for source in sources:
        for record in store.read_journal(source)[0]:
            mark = repr(sorted(record.items(), key=lambda item: item[0]))
            if mark not in seen:
                seen.add(mark)
                records.append(record)
    if records:
        with store.Journal(target) as journal:
            for record in records:
                journal.append(record)


def _manifest(labels: Sequence[str], runs: Sequence[store.Run], conflicts: Sequence[Conflict]) -> dict[str, Any]:
    manifests = [run.manifest for run in runs]
    ids = [str(manifest.get("run_id") or label) for manifest, label in zip(manifests, labels, strict=True)]
    suite = _common([manifest.get("suite") or {} for manifest in manifests])
    return {
        "run_id": hashlib.sha256("\n".join(ids).encode()).hexdigest()[:12],
        "created": store.now(),
        "state": "merged",
        "schema_version": SCHEMA_VERSION,
        "suite": {**suite, "name": " + ".join(_suite_names(runs))},
        "plan": _plan([manifest.get("plan") or {} for manifest in manifests]),
        # A list stands for values that differ, and equals none of them: no sweep goes on with a mixture by mistake.
        "identity": _union([manifest.get("identity") or {} for manifest in manifests]),
        "provenance": _common([manifest.get("provenance") or {} for manifest in manifests]),
        "wall_s": _sum([manifest.get("wall_s") or {} for manifest in manifests]),
        "merged": [
            {"run": label, "path": str(run.path), **{key: run.manifest[key] for key in _KEPT if key in run.manifest}}
            for label, run in zip(labels, runs, strict=True)
        ],
        "conflicts": [asdict(item) for item in conflicts],
    }


def _common(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Entries on which all agree."""
    return {key: value for key, value in parts[0].items() if all(part.get(key) == value for part in parts)}


def _union(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every entry; a list of the values where they differ."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for part in parts for key in part):
        values: list[Any] = []
        for part in parts:
            if part.get(key) not in values:
                values.append(part.get(key))
        found[key] = values[0] if len(values) == 1 else values
    return found


def _plan(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    plan = _common(parts)
    for key in _JOINED:
        values = list(dict.fromkeys(value for part in parts for value in part.get(key) or ()))
        if values:
            plan[key] = sorted(values) if key in ("budgets", "reuse") else values
    # A strategy that one run names as a contestant is no control elsewhere.
    plan["controls"] = [name for name in plan.get("controls", []) if name not in plan.get("strategies", [])]
    return plan


def _sum(parts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    stages = dict.fromkeys(stage for part in parts for stage in part)
    return {stage: sum(float(part.get(stage, 0.0)) for part in parts) for stage in stages}


__all__ = ["Conflict", "Merged", "merge_runs", "write_merge"]
