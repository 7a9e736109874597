"""Who may use a model: one caller at a time, and what an adaptation yielded only inside its block and its thread."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, TypeVar

from ttft_bench.engine.model import LanguageModel
from ttft_bench.errors import LabError

T = TypeVar("T")


class Gate:
    """Lets one caller in at a time; the next one is refused at once, never kept waiting."""

    @staticmethod
    def of(model: LanguageModel) -> Gate:
        """The gate of a model, one for all Labs that share it."""
        with _GATES_LOCK:
            return _GATES.setdefault(model.module, Gate())

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder = ("", 0, "")

    @contextmanager
    def held(self, what: str) -> Iterator[None]:
        """Be the one caller while inside.

        Args:
            what: the caller is doing, as code, for the message that the next caller gets.

        Raises:
            LabError: somebody else is inside.
        """
        if not self._lock.acquire(blocking=False):
            doing, thread, name = self._holder
            if thread == threading.get_ident():
                raise LabError(
                    f"{what}: this Lab's model has {doing} open, and one set of weights: leave that block first (use "
                    "what it yielded inside it), or load the model once more for another Lab"
                )
            raise LabError(
                f"{what}: this Lab's model is in use by the thread {name!r} ({doing}): wait until that thread is done, "
                "or make a Lab with a model of its own for each thread"
            )
        self._holder = (what, threading.get_ident(), threading.current_thread().name)
        try:
            yield
        finally:
            self._lock.release()


class Once(AbstractContextManager[T]):
    """A context manager that may be entered once, and says so.

    Args:
        inner: what it stands for.
        what: the call that made it, for the message.
    """

    def __init__(self, inner: AbstractContextManager[T], what: str) -> None:
        self._inner: AbstractContextManager[T] | None = inner
        self._entered: AbstractContextManager[T] | None = None
        self._what = what

    def __enter__(self) -> T:
        inner, self._inner = self._inner, None
        if inner is None:
            raise LabError(f"{self._what}: one call is for one block: call {self._what}(...) again for another")
        self._entered = inner
        return inner.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._entered is not None
        return self._entered.__exit__(kind, error, trace)


#: Module of a model -> its gate. Not an attribute of the module, which is copied where lanes need it.
_GATES: weakref.WeakKeyDictionary[Any, Gate] = weakref.WeakKeyDictionary()
_GATES_LOCK = threading.Lock()


class Pass:
    """What lets an adaptation be used: by the thread that opened it, until it is withdrawn."""

    def __init__(self) -> None:
        self._thread = threading.current_thread()
        self._over = False

    def check(self, what: str) -> None:
        """Refuse what is not allowed.

        Raises:
            LabError: the block is over, or another thread asks.
        """
        if self._over:
            raise LabError(
                f"{what}: this adaptation is over, its weights were restored at the end of the `with` block: use it "
                "inside the block, or adapt again"
            )
        if threading.get_ident() != self._thread.ident:
            raise LabError(
                f"{what}: this adaptation belongs to the thread {self._thread.name!r}: use it there, or make a Lab "
                "with a model of its own for each thread"
            )

    def withdraw(self) -> None:
        """Nothing is allowed from now on."""
        self._over = True


__all__ = ["Gate", "Once", "Pass"]
