"""Another forward pass for some modules, for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def forwards_replaced(pairs: Iterable[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    """Inside, every module of ``pairs`` runs the function beside it; afterwards what it ran before.

    That is the method of its class, or one of its own: some libraries wrap a module by its instance.
    """
    replaced = list(pairs)
    own = [vars(module).get("forward") for module, _ in replaced]
    try:
        for module, forward in replaced:
            module.forward = forward
        yield
    finally:
        for (module, _), before in zip(replaced, own, strict=True):
            # The attribute hides the method of the class; without it the module is what it was.
            vars(module).pop("forward", None)
            if before is not None:
                module.forward = before


__all__ = ["forwards_replaced"]
