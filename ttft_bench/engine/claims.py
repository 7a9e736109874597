"""Who trains a model: Engines that leave each other's weights alone, one adaptation at a time.

Another trainable set would freeze weights under an Engine's feet. A compiled backend moves them into buffers of its
own, and backends made before it would go on with storage that the model no longer has: it is shared, or has the model
to itself.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ttft_bench.engine.backend import Backend
from ttft_bench.engine.model import LanguageModel
from ttft_bench.engine.settings import OPTIMIZERS, TRAINABLE, Settings, canonical
from ttft_bench.errors import UsageError


class Owner(Protocol):
    """An Engine, as far as it matters here."""

    backend: Backend


@dataclass(frozen=True)
class Kind:
    """How an Engine trains; what is compiled for one serves others of its kind.

    Attributes:
        backend: that was asked for, eager | compiled.
        settings: in one spelling, and without a learning rate, which is a run's own.
        options: of the compiled backend; None for its defaults.
        precision: of the model, which may be wrapped more than once.
    """

    backend: str
    settings: Settings
    options: Any
    precision: str

    @classmethod
    def of(cls, model: LanguageModel, settings: Settings, backend: str, options: Any) -> Kind:
        """The kind of an Engine that is about to be made."""
        if backend == "compiled" and options is None:
            from ttft_bench.engine.compiled import Options

            options = Options()
        plain = replace(
            settings,
            lr=Settings.lr,
            optimizer=canonical(settings.optimizer, OPTIMIZERS, "optimizer"),
            trainable=canonical(settings.trainable, TRAINABLE, "trainable set"),
        )
        return cls(backend, plain, options, model.precision)


class Claim:
    """The Engines of one model, as long as they live, and whether one of them is adapting it."""

    @staticmethod
    def on(model: LanguageModel) -> Claim:
        """The claim on a model, one for everything that wraps its module."""
        with _LOCK:
            return _CLAIMS.setdefault(model.module, Claim())

    def __init__(self) -> None:
        self._engines: weakref.WeakKeyDictionary[Any, Kind] = weakref.WeakKeyDictionary()
        self._busy = False

    def admit(self, model: LanguageModel, kind: Kind) -> Backend | None:
        """Let one more Engine in.

        Returns:
            The compiled backend that it shares; None if it makes its own.

        Raises:
            UsageError: it would disturb another one, or take weights for untouched that are not.
        """
        if self._busy:
            raise UsageError(
                f"{model.name} is being adapted, and another Engine would take its adapted weights for untouched: make "
                "it before or after, or load the model again"
            )
        if self._refusal(model, kind):
            gc.collect()  # of Engines in a reference cycle, as those of Labs are, some may be gone but for this
        if refusal := self._refusal(model, kind):
            raise UsageError(f"{refusal}: drop that Engine first, or load the model again")
        return next((engine.backend for engine, other in self._others() if _shared(kind, other)), None)

    def hold(self, engine: Owner, kind: Kind) -> None:
        """Note an Engine that was let in; forgotten when it is gone."""
        self._engines[engine] = kind

    @contextmanager
    def adapting(self) -> Iterator[None]:
        """Have the weights for one adaptation.

        Raises:
            RuntimeError: another one is open, of the same Engine or of another one.
        """
        if self._busy:
            raise RuntimeError("a model takes one adaptation at a time: leave the one that is open first")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def _others(self) -> list[tuple[Owner, Kind]]:
        return list(self._engines.items())

    def _refusal(self, model: LanguageModel, kind: Kind) -> str:
        """Why an Engine of this kind may not be made; empty if it may."""
        for engine, other in self._others():
            wanted, there = kind.settings.trainable, other.settings.trainable
            if wanted != there:
                return f"{model.name} is being trained as {there} by another Engine, which {wanted} would disturb"
            if _shared(kind, other):
                if not engine.backend.is_untouched():
                    return f"the weights of {model.name} were changed since another Engine compiled its steps with them"
            elif "compiled" in (kind.backend, engine.backend.name):
                return (
                    f"{model.name} is being trained by another Engine on the {engine.backend.name} backend, and "
                    "compiled steps are shared only where backend, options, optimizer, clip, batch and precision are "
                    "equal"
                )
        return ""


def _shared(kind: Kind, other: Kind) -> bool:
    """Whether an Engine takes the backend of another: also the eager one that steps in where nothing can be built."""
    return kind == other and kind.backend == "compiled"


#: Module of a model -> its claim. Not an attribute of the module, which may be copied and saved.
_CLAIMS: weakref.WeakKeyDictionary[Any, Claim] = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()

__all__ = ["Claim", "Kind"]
