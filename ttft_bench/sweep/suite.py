"""A suite: everything that defines a benchmark run, read from a TOML file. Flags override it."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from ttft_bench.corpus.approximate import parse_index
from ttft_bench.corpus.sources import EMBEDDING, POOL_SOURCES
from ttft_bench.engine.choices import ARMS, GROUPINGS, LONG, PRECISION_CHOICES, PROTOCOLS, REUSE_MODES, check_choice
from ttft_bench.engine.settings import OPTIMIZERS, TRAINABLE, Settings, canonical
from ttft_bench.errors import SuiteError, UnknownPluginError, UsageError
from ttft_bench.registry import SUITES, file_of
from ttft_bench.sweep.parts import ControlSpec, Published, Variant, refuse_twice

#: Steps on one prompt beyond which a budget is a slip of the finger.
MAX_BUDGET = 10_000
#: Fewest finetuning seeds with dropout on: the luck of one draw of masks is no result.
SEEDS_OF_DROPOUT = 3


@dataclass(frozen=True)
class CorpusSpec:
    """Where the text comes from; limits of None take everything.

    Attributes:
        source: an installed corpus, a path, or ``pile``, ``pile:OWNER/NAME[@REVISION]``, ``pile:PATH``; see
            :func:`ttft_bench.corpus.load.load_corpus`.
        subsets: only these, in this order.
        train_per_subset: most training documents of each.
        prompts_per_subset: most prompts of each.
    """

    source: str = "minipile"
    subsets: tuple[str, ...] | None = None
    train_per_subset: int | None = None
    prompts_per_subset: int | None = 50


@dataclass(frozen=True)
class PoolSpec:
    """How candidates are found.

    Attributes:
        embedder: asset name, local folder, hub id (``OWNER/NAME[@REVISION]``), ``hashed-words`` or ``shuffled[NAME]``;
            see :mod:`ttft_bench.corpus.embedders`.
        k: candidates per prompt; the papers' ablations go from 50 to 1000.
        source: ``embedding`` (the k nearest), ``random`` or ``bm25``; see :mod:`ttft_bench.corpus.sources`.
        index: how the nearest are found: ``flat`` (exact), ``ivf[...]`` or ``hnsw[...]``; see
            :mod:`ttft_bench.corpus.approximate`.
        exclude_near_duplicates: keep near-duplicates of a prompt out of its pool; see :mod:`ttft_bench.corpus.leaks`.
    """

    embedder: str = "all-minilm-l6-v2"
    k: int = 200
    source: str = EMBEDDING
    exclude_near_duplicates: bool = False
    index: str = "flat"


@dataclass(frozen=True)
class SelectSpec:
    """What is compared: strategies, budgets, gradient reuse and what is done with the picks.

    Attributes:
        strategies: specs such as ``sift[lam=0.2]``.
        budgets: picks per prompt, as a rule a training step each.
        reuse: gradient reuse intervals; 1 is off.
        grouping: what may share a gradient: ``runs`` of equal picks, or all equal ones (``global``); or both.
        reuse_mode: what becomes of steps that share one: ``cached``, and as controls ``skip``, ``scale-lr``,
            ``weighted-loss``.
        arms: what picks are for: ``finetune``, ``none``, ``in-context``, ``in-context+finetune``.
        timeout_s: seconds that one ``select`` call may take.
    """

    strategies: tuple[str, ...] = ()
    budgets: tuple[int, ...] = (1, 2, 5, 10, 20, 50)
    reuse: tuple[int, ...] = (1, 2)
    grouping: str | tuple[str, ...] = "runs"
    reuse_mode: tuple[str, ...] = ("cached",)
    arms: tuple[str, ...] = ("finetune",)
    timeout_s: float = 60.0

    @property
    def groupings(self) -> tuple[str, ...]:
        """Every way of grouping, in order."""
        return self.grouping if isinstance(self.grouping, tuple) else (self.grouping,)


@dataclass(frozen=True)
class ModelSpec:
    """The language model that is finetuned and scored.

    Attributes:
        name: asset name, local folder or hub id.
        max_tokens: longest sequence that is trained on or, with the protocol ``window``, scored.
        start_token: what every sequence starts with: ``auto``, ``none``, or a token.
        precision: of training steps: ``fp32``, ``tf32``, ``bf16``, or ``auto``: bf16 where it is much faster, else
            fp32.
    """

    name: str = "smollm2-135m-instruct"
    max_tokens: int = 1024
    start_token: str = "auto"
    precision: str = "fp32"


@dataclass(frozen=True)
class FinetuneSpec:
    """How to finetune; see :class:`ttft_bench.engine.settings.Settings`.

    Attributes:
        lr: learning rate, or a list of them to sweep over.
        optimizer: ``adam``, ``adamw[weight_decay=0.01]`` or ``sgd[momentum=0.0]``.
        trainable: weights that are trained: ``full``, ``lora[r=8,alpha=16]``, ``last[k=1]`` or ``bias+norm``.
        clip: largest norm of a gradient; None for no clipping.
        batch: picks that one step trains on.
        long: what becomes of documents beyond ``model.max_tokens``: ``truncate`` them, or one step for every ``chunk``.
        dropout: finetune with the model's dropout on, its masks drawn from the seed.
        seeds: finetuning seeds, the run's and the ones after it; None for 1, or with dropout :data:`SEEDS_OF_DROPOUT`.
    """

    lr: float | tuple[float, ...] = 5e-5
    optimizer: str = "adam"
    trainable: str = "full"
    clip: float | None = None
    batch: int = 1
    long: str = "truncate"
    dropout: bool = False
    seeds: int | None = None

    @property
    def n_seeds(self) -> int:
        """How many finetuning seeds there are."""
        return self.seeds or (SEEDS_OF_DROPOUT if self.dropout else 1)

    @property
    def lrs(self) -> tuple[float, ...]:
        """Every learning rate, ascending."""
        return tuple(sorted(set(self.lr))) if isinstance(self.lr, tuple) else (self.lr,)

    def settings(self) -> Settings:
        """The engine's settings.

        Raises:
            UsageError: one of them cannot be.
        """
        return Settings(
            lr=self.lrs[0],
            optimizer=canonical(self.optimizer, OPTIMIZERS, "optimizer"),
            trainable=canonical(self.trainable, TRAINABLE, "trainable set"),
            clip=self.clip,
            batch=self.batch,
            dropout=self.dropout,
        )


@dataclass(frozen=True)
class ScoreSpec:
    """The bits-per-byte protocol; see :mod:`ttft_bench.engine.score`.

    Attributes:
        protocol: ``window``, ``document`` or ``prefix``. With ``prefix``, pools are found by first halves, so that it
            belongs to the picks too.
    """

    protocol: str = "window"


@dataclass(frozen=True)
class Suite:
    """A whole suite.

    Attributes:
        name: also the first part of the default output folder's name.
        purpose: what it is, for people.
        answers: the question that its runs answer.
        seed: of everything that is drawn.
        controls: strategies that no one proposes, to hold the others against.
        variants: its runs, where there are several that differ in settings: each has its own folder, cells and rows.
        published: what others measured by this protocol.
    """

    name: str
    purpose: str = ""
    answers: str = ""
    seed: int = 0
    corpus: CorpusSpec = field(default_factory=CorpusSpec)
    pool: PoolSpec = field(default_factory=PoolSpec)
    select: SelectSpec = field(default_factory=SelectSpec)
    controls: tuple[ControlSpec, ...] = ()
    model: ModelSpec = field(default_factory=ModelSpec)
    finetune: FinetuneSpec = field(default_factory=FinetuneSpec)
    score: ScoreSpec = field(default_factory=ScoreSpec)
    variants: tuple[Variant, ...] = ()
    published: Published | None = None

    def __post_init__(self) -> None:
        for what, value, least in (
            ("pool.k", self.pool.k, 1),
            ("model.max_tokens", self.model.max_tokens, 2),
            ("corpus.train_per_subset", self.corpus.train_per_subset, 1),
            ("corpus.prompts_per_subset", self.corpus.prompts_per_subset, 1),
        ):
            if value is not None and value < least:
                raise UsageError(f"{what} must be at least {least}, got {value}")
        for what, numbers in (("budgets", self.select.budgets), ("reuse", self.select.reuse)):
            if not numbers or min(numbers) < 1:
                shown = ",".join(map(str, numbers)) or "none"
                raise UsageError(f"{what} must be whole numbers of at least 1, got {shown}")

        if not -(2**63) <= self.seed < 2**63:  # a column of 64 bits
            raise UsageError(f"seed must be a whole number of at most 64 bits, sign included, got {self.seed}")
        if self.corpus.subsets == ():
            raise UsageError("corpus.subsets must name a subset: leave it out for all of them")
        if max(self.select.budgets) > MAX_BUDGET:
            raise UsageError(f"budgets must be at most {MAX_BUDGET}, got {max(self.select.budgets)}")
        check_choice("pool.source", self.pool.source, POOL_SOURCES)
        parse_index(self.pool.index)
        for control in self.controls:
            check_choice(f"pool of control {control.label}", control.pool, POOL_SOURCES)
        check_choice("model.precision", self.model.precision, PRECISION_CHOICES)
        check_choice("score.protocol", self.score.protocol, PROTOCOLS)
        check_choice("finetune.long", self.finetune.long, LONG)
        for what, words, choices in (
            ("select.grouping", self.select.groupings, GROUPINGS),
            ("select.reuse_mode", self.select.reuse_mode, REUSE_MODES),
            ("select.arms", self.select.arms, ARMS),
        ):
            for word in words or ("",):
                check_choice(what, word, choices)
        for lr in self.finetune.lrs or (0.0,):
            if not 0 < lr < float("inf"):
                raise UsageError(f"finetune.lr must be a finite number above 0, got {lr}")
        self.finetune.settings()
        _check_seeds(self.finetune)
        if not self.select.timeout_s > 0:
            raise UsageError(f"select.timeout_s must be above 0, got {self.select.timeout_s}")
        refuse_twice("control", self.controls, "rows and reports know it by its label, so give each a label of its own")
        refuse_twice("variant", self.variants, "each one has a folder of its own")
        self.runs()  # a setting of a variant that cannot be is told now

    def runs(self) -> tuple[tuple[str, Suite], ...]:
        """The suite of every variant with its label; the suite itself, without a label, if it has none."""
        if not self.variants:
            return (("", self),)
        return tuple((variant.label, self._varied(variant)) for variant in self.variants)

    def _varied(self, variant: Variant) -> Suite:
        sections = {
            section: dataclasses.replace(getattr(self, section), **changes)
            for section, changes in variant.changes.items()
        }
        try:
            return dataclasses.replace(self, variants=(), **sections)
        except UsageError as error:
            raise UsageError(f"variant {variant.label}: {error}") from error

    def with_changes(self, section: str, **changes: Any) -> Suite:
        """Replace keys of one section (or top-level keys for section ""); None means unchanged."""
        given = {key: value for key, value in changes.items() if value is not None}
        if not given:
            return self
        if not section:
            return dataclasses.replace(self, **given)
        return dataclasses.replace(self, **{section: dataclasses.replace(getattr(self, section), **given)})


def _check_seeds(finetune: FinetuneSpec) -> None:
    if finetune.seeds is None:
        return
    if finetune.dropout and finetune.seeds < SEEDS_OF_DROPOUT:
        raise UsageError(
            f"finetune.seeds must be at least {SEEDS_OF_DROPOUT} where dropout is on, got {finetune.seeds}: "
            "give more, or leave dropout out"
        )
    if not finetune.dropout and finetune.seeds != 1:
        raise UsageError(
            f"finetune.seeds = {finetune.seeds} without dropout makes equal rows, since nothing else in finetuning is "
            "drawn: leave it out, or turn dropout on"
        )


def load_suite(name_or_path: str) -> Suite:
    """Load a suite by its registered name or from a TOML file.

    Raises:
        SuiteError: no such suite or file, not TOML, an unknown key, or a value of the wrong type.
        PluginError: two distributions offer the suite, or its function cannot be imported or gives no file.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml" or len(path.parts) > 1 or path.is_file():
        return read_suite(path)
    try:
        return read_suite(file_of(name_or_path, SUITES))
    except UnknownPluginError as error:
        raise SuiteError(f"{error}; or give the path of a .toml file") from error


def read_suite(path: Path) -> Suite:
    """Read and check one TOML file; see :func:`load_suite` for the errors."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SuiteError(f"suite file {path} does not exist; `ttft-bench suites` lists the installed suites") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SuiteError(f"suite file {path} cannot be read as TOML: {error}") from error
    data.setdefault("name", path.stem)
    try:
        suite: Suite = _build(Suite, data, "")
        return suite
    except UsageError as error:
        raise SuiteError(f"suite file {path}: {error}") from error


def _build(cls: type[Any], data: Mapping[str, Any], where: str) -> Any:
    if not isinstance(data, Mapping):
        raise SuiteError(f"{where.rstrip('.')} must be a table")
    if cls is Variant:
        return _build_variant(data, where)
    hints = get_type_hints(cls)
    _refuse_unknown(data, hints, where)
    try:
        return cls(**{key: _convert(hints[key], value, where + key) for key, value in data.items()})
    except TypeError as error:
        missing = [f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING and f.name not in data]
        raise SuiteError(f"{where.rstrip('.') or 'suite'} lacks {', '.join(missing) or error}") from error


def _build_variant(data: Mapping[str, Any], where: str) -> Variant:
    """A label, and tables that hold some keys of the suite's own."""
    sections = {name: hint for name, hint in get_type_hints(Suite).items() if dataclasses.is_dataclass(hint)}
    _refuse_unknown(data, {"label": str, **sections}, where)
    if not isinstance(data.get("label"), str):
        raise SuiteError(f"{where.rstrip('.')} lacks label")
    changes: dict[str, dict[str, Any]] = {}
    for section, table in data.items():
        if section == "label":
            continue
        if not isinstance(table, Mapping):
            raise SuiteError(f"{where}{section} must be a table")
        hints = get_type_hints(sections[section])
        _refuse_unknown(table, hints, f"{where}{section}.")
        changes[section] = {key: _convert(hints[key], value, f"{where}{section}.{key}") for key, value in table.items()}
    return Variant(data["label"], changes)


def _refuse_unknown(data: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    unknown = next((key for key in data if key not in known), None)
    if unknown is not None:
        near = difflib.get_close_matches(unknown, known, 1)
        hint = f"did you mean {where}{near[0]}?" if near else f"known keys are {', '.join(known)}"
        raise SuiteError(f"unknown key {where}{unknown}: {hint}")


def _convert(kind: Any, value: Any, where: str) -> Any:
    if get_origin(kind) in (Union, UnionType):
        options = [option for option in get_args(kind) if option is not type(None)]
        # Of a number or a list of them, what was written decides.
        kind = next(
            (option for option in options if (get_origin(option) is tuple) == isinstance(value, list)), options[0]
        )
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise SuiteError(f"{where} must be a list, got {value!r}")
        inner = get_args(kind)[0]
        return tuple(_convert(inner, item, f"{where}[{index}]") for index, item in enumerate(value))
    if dataclasses.is_dataclass(kind):
        return _build(kind if isinstance(kind, type) else type(kind), value, f"{where}.")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise SuiteError(f"{where} must be {kind.__name__}, got {value!r}")
    return value


__all__ = [
    "ControlSpec",
    "CorpusSpec",
    "FinetuneSpec",
    "ModelSpec",
    "PoolSpec",
    "ScoreSpec",
    "SelectSpec",
    "Suite",
    "load_suite",
    "read_suite",
]
