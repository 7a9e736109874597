"""Embedders by name: plug-ins, sentence encoders, and the control that deals embeddings out at random.

A plug-in is a class in the entry-point group ``ttft_bench.embedders`` that does what
:class:`ttft_bench.corpus.embed.Embedder` says; its parameters are those of its constructor, and one called ``device``
is given the device. Every other name is a pinned model, a folder or a model hub's.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_bench.corpus.cachefiles import Note, silent
from ttft_bench.corpus.embed import Embedder
from ttft_bench.corpus.sentence import DEFAULT_EMBEDDER, load_embedder
from ttft_bench.errors import BrokenPluginError, EmbeddingError, SpecError, TtftBenchError, UsageError
from ttft_bench.registry import EMBEDDERS, distribution_of, ensure_importable, entries, load
from ttft_bench.registry.installed import in_one_line
from ttft_bench.seeds import derive_rng
from ttft_bench.specs import Spec, fit_parameters, format_spec, parse_spec

SHUFFLED = "shuffled["
#: A fingerprint names a folder of the cache.
_FINGERPRINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Shuffled:
    """A control: training documents have each other's embeddings, prompts have their own.

    Selection goes on as ever, over vectors with the same geometry, but what it finds has nothing to do with the text it
    stands for. What still follows from residual or similarity then does not come from the documents.
    """

    def __init__(self, base: Embedder) -> None:
        self.base = base
        self.name = f"{SHUFFLED}{base.name}]"
        self.fingerprint = f"shuffled-{base.fingerprint}"
        self.batch_size = getattr(base, "batch_size", 32)

    @property
    def dimension(self) -> int:
        """Length d of a vector."""
        return self.base.dimension

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The true embeddings; documents are dealt out by :meth:`deal`, since only all of them can be."""
        return self.base.embed(texts)

    def deal(self, n: int) -> NDArray[np.int64]:
        """Whose embedding each of ``n`` documents gets."""
        return derive_rng("embedder", "shuffled", n).permutation(n)


class PlugIn:
    """A stranger's embedder, whose failures name it, its distribution and a remedy.

    Args:
        inner: what its class built.
        name: its spec, parameters that are as by default left out.

    Raises:
        BrokenPluginError: something that an embedder must have is missing or cannot be.
    """

    def __init__(self, inner: Any, name: str) -> None:
        self._inner = inner
        self._source = _source(name)
        self.name = name
        self.fingerprint = str(self._read("fingerprint", str))
        self.batch_size = int(self._read("batch_size", int)) if hasattr(inner, "batch_size") else 32
        if not _FINGERPRINT.fullmatch(self.fingerprint):
            raise BrokenPluginError(
                f"{self._source} has the fingerprint {self.fingerprint!r}, which names a folder of the cache: letters, "
                "digits and ._- only, at most 100; tell its author"
            )

    @property
    def dimension(self) -> int:
        """Length d of a vector."""
        return int(self._read("dimension", int))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Rows, shape (n, d); that they are finite unit rows is checked where all embedders' are.

        Raises:
            EmbeddingError: whatever it raised, with its name; or rows of another shape.
        """
        try:
            rows = np.asarray(self._inner.embed(list(texts)), dtype=np.float32)
        except TtftBenchError:
            raise
        except (Exception, SystemExit) as error:  # one that exits has failed; it does not end us
            raise EmbeddingError(
                f"{self._source} failed on {len(texts)} texts: {in_one_line(error)}; tell its author, or take another "
                "with --embedder"
            ) from error
        if rows.shape != (len(texts), self.dimension):
            raise EmbeddingError(
                f"{self._source} gave an array of shape {rows.shape} for {len(texts)} texts where it says that its "
                f"dimension is {self.dimension}; tell its author, or take another with --embedder"
            )
        return rows

    def _read(self, what: str, kind: type) -> Any:
        try:
            value = getattr(self._inner, what, None)
        except (Exception, SystemExit) as error:  # a property that reads weights, say
            raise BrokenPluginError(
                f"{self._source} cannot be used: its {what} failed: {in_one_line(error)}; tell its author"
            ) from error
        if not isinstance(value, kind) or not value or not callable(getattr(self._inner, "embed", None)):
            value = value if value is not None else "missing"
            raise BrokenPluginError(
                f"{self._source} is no embedder: it must have a fingerprint (text), a dimension (a whole number) and "
                f"embed(texts), but {what} is {value!r}; tell its author"
            )
        return value


def open_embedder(name: str = DEFAULT_EMBEDDER, device: str = "cpu", note: Note = silent) -> Embedder:
    """Find an embedder.

    Args:
        name: a plug-in's, such as ``hashed-words[d=1024]``, ``shuffled[NAME]``, or what
            :func:`ttft_bench.corpus.sentence.load_embedder` knows.
        device: where a model will run, as torch spells it.
        note: receives one line per download.

    Raises:
        SpecError: a parameter is unknown or cannot be.
        PluginError: two distributions offer the name, or what is behind it cannot be used.
        ModelError, AssetError: a model cannot be fetched or used.
    """
    if name.startswith(SHUFFLED):
        inner = name.removeprefix(SHUFFLED).removesuffix("]").strip()
        if not name.endswith("]") or not inner or inner.startswith(SHUFFLED):
            raise SpecError(f"embedder {name!r} must be {SHUFFLED}NAME] of another embedder")
        return Shuffled(open_embedder(inner, device, note))
    if name.partition("[")[0].strip() in {item.name for item in entries(EMBEDDERS)}:
        return _open_plug_in(parse_spec(name, "embedder"), device)
    return load_embedder(name, device, note)


def _open_plug_in(spec: Spec, device: str) -> PlugIn:
    ensure_importable(spec.name, EMBEDDERS)
    make = load(spec.name, EMBEDDERS)
    try:
        known = dict(inspect.signature(make).parameters)
        given = {"device": device} if known.pop("device", None) else {}
        fitted = fit_parameters(spec, known)
        inner = make(**fitted, **given)
    except SpecError:
        raise
    except (ValueError, UsageError) as error:
        raise SpecError(f"{spec}: {error}") from error
    except (Exception, SystemExit) as error:
        raise BrokenPluginError(
            f"{_source(str(spec))} cannot be built: {in_one_line(error)}; tell its author"
        ) from error
    changed = {key: value for key, value in fitted.items() if value != known[key].default}
    return PlugIn(inner, format_spec(spec.name, changed))


def _source(name: str) -> str:
    return f"embedder {name!r} of {distribution_of(name.partition('[')[0], EMBEDDERS)}"


__all__ = ["SHUFFLED", "PlugIn", "Shuffled", "open_embedder"]
