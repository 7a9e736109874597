"""The Lab: find, select, finetune, use, restore, for one prompt at a time."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from ttft_bench.assets import cache_dir, resolve_source
from ttft_bench.corpus.approximate import parse_index
from ttft_bench.corpus.documents import Document
from ttft_bench.corpus.embed import DEFAULT_EMBEDDER, Embedder
from ttft_bench.corpus.embedders import open_embedder
from ttft_bench.corpus.library import Library
from ttft_bench.corpus.load import drop_blank
from ttft_bench.corpus.readers import read_path
from ttft_bench.engine.choices import BACKENDS, PROTOCOLS, check_choice
from ttft_bench.engine.finetune import Engine
from ttft_bench.engine.model import LanguageModel, load_model
from ttft_bench.engine.schedule import Reuse
from ttft_bench.engine.settings import Settings
from ttft_bench.errors import UsageError
from ttft_bench.lab.gate import Gate, Once, Pass
from ttft_bench.lab.given import Corpus, as_documents, check_budget, check_prompt, read_corpus
from ttft_bench.lab.notes import cut, leaks
from ttft_bench.lab.planning import Planner
from ttft_bench.lab.timing import Timing
from ttft_bench.lab.training import train
from ttft_bench.lab.tuned import Tuned, bits_per_byte, generate
from ttft_bench.registry import build_selector
from ttft_bench.seeds import derive_seed

DEFAULT_MODEL = "smollm2-135m-instruct"
#: A default like any other name: the registry looks it up, and nothing here knows what it does.
DEFAULT_STRATEGY = "sift[lam=0.2]"
DEFAULT_POOL_K = 200
DEFAULT_MAX_TOKENS = 1024


class Lab:
    """A model, a corpus and a strategy, ready to adapt the model to one prompt after the other.

    ::

        >>> import ttft_bench as ttft
        >>> lab = ttft.Lab(model=model, corpus="my-notes/", strategy="sift[lam=0.2]", budget=20, reuse=2)
        >>> before = lab.bits_per_byte(prompt)
        >>> with lab.adapted(prompt) as tuned:  # embed, retrieve, select, finetune
        ...     after = tuned.bits_per_byte(prompt)
        ...     text = tuned.generate(max_new_tokens=8)
        >>> len(tuned.selection.order), tuned.timing.steps  # the picks and the times stay; the weights are restored
        (20, 20)
        >>> lab.bits_per_byte(prompt) == before
        True
        >>> lab.add(["one more note"])  # it alone is embedded
        range(60, 61)

    Making one reads the corpus, embeds what the cache lacks and loads the model. Scoring a prompt whose neighbours were
    trained on is the benchmark's measure of a selection; ``protocol="prefix"`` finds the neighbours by the first half
    of the prompt and scores the second.

    **Threads.** A model has one set of weights. One call at a time may use it: a second ``adapted`` while one is open,
    in the same thread or another, and any call of the Lab's own during an adaptation, raise
    :class:`ttft_bench.errors.LabError` at once, also across Labs that were given the same loaded model. Such Labs must
    train the same weights; on the compiled backend they share its steps, and their other settings of training must be
    equal too, but for ``lr``. What ``adapted`` yields belongs to the thread that opened it. Make a Lab with a model of
    its own for each thread that needs one. Such Labs share caches on disk and two things of the process: torch's global
    generators, and the precision of float32 matrix products, which the model loaded last sets (tf32, else full).
    ``generate`` with a temperature draws from the generators in one thread at a time and leaves them as found, so that
    no other Lab changes its answers; strategies and programs that draw from them by themselves are not kept apart.

    **Weights.** When the block ends, also by an exception or Ctrl-C, they are bit for bit what they were.

    Args:
        corpus: what may be trained on: an installed corpus, a file or a folder (as for
            :func:`ttft_bench.corpus.load.load_documents`), or the documents themselves, as texts or
            :class:`~ttft_bench.corpus.documents.Document`.
        model: asset name, local folder or hub id, or a :class:`~ttft_bench.engine.model.LanguageModel`.
        strategy: spec of a selector.
        budget: training steps per prompt; 20 if neither it nor ``budget_s`` is given.
        budget_s: seconds of training steps per prompt instead; the other parts of :class:`~ttft_bench.lab.Timing` are
            not counted. The number of steps follows from the time of a step on this device, which is measured at the
            first such prompt (real steps on its shortest and longest candidate, one untimed and two timed of each;
            between them it is taken to grow with the tokens). Where steps turn out slower, training stops before the
            one that would exceed the budget by more than a tenth. At least one step is taken, and it is told if that
            one does not fit.
        reuse: steps in a row on one document that share a gradient; 1 for none.
        reuse_grouping: runs | global.
        reuse_mode: cached | skip | scale-lr | weighted-loss; see :mod:`ttft_bench.engine.schedule`.
        embedder: asset name, local folder or hub id, ``hashed-words``, or an embedder.
        pool_k: most candidates per prompt.
        index: how they are found: ``flat`` (exact), ``ivf[...]`` or ``hnsw[...]``.
        exclude_near_duplicates: keep documents that hold half of the prompt's word sequences or more
            (:mod:`ttft_bench.corpus.leaks`) out of its candidates, as copies of it always are.
        subsets: only these of the corpus.
        train_per_subset: at most so many documents of each.
        max_tokens: longest sequence that is trained on or scored; no longer than the model's context in any case.
        lr: learning rate.
        optimizer: see :mod:`ttft_bench.engine.settings`.
        trainable: full | lora[...] | last[...] | bias+norm.
        protocol: how bits per byte are counted: window | document | prefix.
        device: auto | cpu | cuda | cuda:1 | mps; ignored for a model that is loaded already.
        precision: auto | fp32 | tf32 | bf16; ignored for a model that is loaded already.
        backend: auto | eager | compiled. ``auto`` compiles on CUDA: the first prompts wait for the compiler, half a
            minute to some minutes, and all later ones take steps several times as fast. ``eager`` suits one or two.
        start_token: what every sequence starts with: auto, none, or a token; ignored for a loaded model.
        seed: of strategies that draw.
        note: receives what is worth knowing, one line at a time. Without it, what is worth knowing about a prompt
            becomes a Python warning, and progress is not told.
        on_progress: called with (stage, done, total) while documents are embedded.

    Raises:
        UsageError: a setting cannot be, or another Lab trains the same loaded model in a way that does not go with it.
        PluginError: there is no such strategy, or it is broken.
        DataError: corpus, embedder or model are missing or unusable.
    """

    def __init__(
        self,
        *,
        corpus: Corpus,
        model: str | Path | LanguageModel = DEFAULT_MODEL,
        strategy: str = DEFAULT_STRATEGY,
        budget: int | None = None,
        budget_s: float | None = None,
        reuse: int = 1,
        reuse_grouping: str = "runs",
        reuse_mode: str = "cached",
        embedder: str | Embedder = DEFAULT_EMBEDDER,
        pool_k: int = DEFAULT_POOL_K,
        index: str = "flat",
        exclude_near_duplicates: bool = False,
        subsets: Sequence[str] | None = None,
        train_per_subset: int | None = None,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        lr: float = 5e-5,
        optimizer: str = "adam",
        trainable: str = "full",
        protocol: str = "window",
        device: str = "auto",
        precision: str = "auto",
        backend: str = "auto",
        start_token: str = "auto",
        seed: int = 0,
        note: Callable[[str], None] | None = None,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self._note = note
        self._on_progress = on_progress
        # What costs nothing to check comes first: a slip is told before anything is fetched, read or embedded.
        self._budget = check_budget(budget, budget_s)
        settings = Settings(lr=lr, optimizer=optimizer, trainable=trainable)
        if pool_k < 1:
            raise UsageError(f"pool_k must be at least 1, got {pool_k}")
        if max_tokens < 2:
            raise UsageError(f"max_tokens must be at least 2, got {max_tokens}")
        check_choice("protocol", protocol, PROTOCOLS)
        check_choice("backend", backend, BACKENDS)
        parse_index(index)
        reuse_settings = Reuse(reuse, reuse_grouping, reuse_mode)
        selector = build_selector(strategy)
        cache = cache_dir()
        self._pool_k = pool_k
        self._near_duplicates = not exclude_near_duplicates
        self.protocol = protocol
        self._seed = seed
        documents = read_corpus(corpus, subsets, train_per_subset, seed, self._progress_note)
        self.model = (
            model if isinstance(model, LanguageModel) else self._load(str(model), device, precision, start_token)
        )
        self._max_tokens = min(max_tokens, self.model.max_positions)
        self._gate = Gate.of(self.model)
        with self._gate.held("Lab"):  # what is restored later is what is there now: no other Lab's adapted weights
            self._engine = Engine(self.model, settings, backend=backend)
        self._library = Library(
            documents,
            open_embedder(embedder, note=self._progress_note) if isinstance(embedder, str) else embedder,
            index=index,
            cache=cache,
            note=self._progress_note,
            on_progress=self._documents_progress,
        )
        self._planner = Planner(selector, self._library, self._engine, reuse_settings, self._max_tokens, seed)
        self._planner.warm_up()

    @property
    def strategy(self) -> str:
        """Spec of the strategy, as results name it."""
        return repr(self._planner.selector)

    def __len__(self) -> int:
        """Number of documents that may be trained on."""
        return len(self._library)

    def __repr__(self) -> str:
        return f"Lab(model={self.model.name!r}, strategy={self.strategy!r}, documents={len(self)})"

    def adapted(
        self, prompt: str, *, budget: int | None = None, budget_s: float | None = None
    ) -> AbstractContextManager[Tuned]:
        """Adapt the model to a prompt for the length of a ``with`` block.

        Documents with the prompt's very text, white space aside, are not trained on, and that is told.

        Args:
            prompt: what to adapt to; not blank. Embedders and the protocol ``window`` read the beginning of a long one.
            budget: training steps, instead of the Lab's.
            budget_s: seconds of training steps, instead of the Lab's.

        Returns:
            A context manager for one ``with`` block, in which it is the adapted model. What follows is raised there.

        Raises:
            LabError: the Lab is in use, or the block of this very call was entered before.
            UsageError: the prompt is blank or no text, or a budget cannot be.
            CorpusError: every document is a copy of the prompt.
            PluginError: the strategy fails, or breaks its contract.
            CellError: a loss is not finite, or memory ran out.
        """
        return Once(self._adapted(prompt, budget, budget_s), "adapted")

    @contextmanager
    def _adapted(self, prompt: str, budget: int | None, budget_s: float | None) -> Iterator[Tuned]:
        count, seconds = self._budget if budget is None and budget_s is None else check_budget(budget, budget_s)
        query = check_prompt(prompt, self.protocol)
        key = Document(prompt).key
        with self._gate.held("adapted"):
            found = self._library.find(prompt, self._pool_k, query, near_duplicates=self._near_duplicates)
            timing = Timing(found.embed_s, found.retrieve_s, budget_s=seconds)
            start = time.perf_counter()
            if seconds is None:
                plan = self._planner.by_count(key, found, count)
            else:
                plan = self._planner.by_time(key, found, seconds)
                timing.predicted_s = sum(plan.step_s)
            timing.select_s = plan.select_s
            notes = (
                *leaks(prompt, found, plan.chosen),
                *cut(self.model, prompt, self._max_tokens, self.protocol),
                *plan.remarks,
            )
            self._tell(notes)  # before the steps, which may take long
            allowed = Pass()
            try:
                with self._engine.adaptation(derive_seed("finetune", key, self._seed)) as adaptation:
                    remarks = train(adaptation, plan, timing, start)
                    self._tell(remarks)
                    notes += remarks
                    try:
                        yield Tuned(
                            prompt, plan.chosen, timing, notes, self.model, self._max_tokens, self.protocol, allowed
                        )
                    finally:
                        allowed.withdraw()
            finally:
                timing.restore_s = self._engine.restore_s

    def add(self, documents: Iterable[str | Document] | Path) -> range:
        """Add documents, for the prompts that come after; only they are embedded, and of them only what is new.

        They are added to this Lab, not to the folder or file that it was made from. A folder that grew is read again by
        making a new Lab, which embeds only what is new as well: vectors are kept by content.

        Args:
            documents: texts, documents, or the path of a file or folder. Those without text are dropped.

        Returns:
            Their ids.

        Raises:
            LabError: the Lab is in use.
            CorpusError: one cannot be read, or is no text.
            EmbeddingError: an embedding is unusable; nothing was added.
        """
        with self._gate.held("add"):
            if isinstance(documents, str):
                raise UsageError("add takes a list of texts, or a Path: write add([text]) or add(Path(file))")
            given = read_path(documents) if isinstance(documents, Path) else as_documents(documents)
            return self._library.add(drop_blank(given, "add", self._progress_note), self._documents_progress)

    def bits_per_byte(self, text: str, protocol: str | None = None) -> float:
        """Bits per byte of a text under the untouched weights; see :meth:`Tuned.bits_per_byte`.

        Raises:
            LabError: the Lab is in use; inside an adaptation the untouched weights are not there.
            ModelError: nothing can be scored.
        """
        with self._gate.held("bits_per_byte"):
            return bits_per_byte(self.model, text, self._max_tokens, protocol or self.protocol)

    def generate(
        self, text: str, max_new_tokens: int = 64, *, temperature: float = 0.0, top_p: float = 1.0, seed: int = 0
    ) -> str:
        """Continue a text under the untouched weights; see :meth:`Tuned.generate`.

        Raises:
            LabError: the Lab is in use.
        """
        with self._gate.held("generate"):
            return generate(self.model, text, max_new_tokens, temperature, top_p, seed)

    def describe(self) -> dict[str, str | int]:
        """What it works with, for people and records."""
        return {
            "model": self.model.name,
            "device": str(self.model.device),
            "precision": self.model.precision,
            "backend": self._engine.backend.name,
            "embedder": self._library.embedder.name,
            "strategy": self.strategy,
            "documents": len(self),
            "max_tokens": self._max_tokens,
            "bpb_protocol": self.protocol,
        }

    def _tell(self, lines: Iterable[str]) -> None:
        for line in lines:
            if self._note is not None:
                self._note(line)
            else:  # out of this method, `adapted`, contextlib's `__enter__`, to the `with` line
                warnings.warn(line, UserWarning, stacklevel=4)

    def _load(self, name: str, device: str, precision: str, start_token: str) -> LanguageModel:
        return load_model(
            resolve_source(name, self._progress_note),
            name=name,
            device=device,
            precision=precision,
            start_token=start_token,
        )

    def _progress_note(self, line: str) -> None:
        if self._note is not None:
            self._note(line)

    def _documents_progress(self, done: int, total: int) -> None:
        if self._on_progress is not None:
            self._on_progress("embedding documents", done, total)


__all__ = ["DEFAULT_MODEL", "DEFAULT_STRATEGY", "Lab"]
