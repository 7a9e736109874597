"""The copy of a module that is compiled: structure only, with three things done once instead of in every layer.

- Linear layers that read the very same tensor become one product over weights that lie below each other:
  query, key and value, or gate and up. Small products are what leaves a large device idle.
- Rotary cosines and sines of a length are computed once, not in every kernel that rotates.
- Causal attention goes without a mask: :mod:`ttft_bench.engine.compiled.attention`.
"""

from __future__ import annotations

import copy
import inspect
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ttft_bench.engine.compiled.direct import Direct
from ttft_bench.engine.compiled.norms import Scale
from ttft_bench.engine.compiled.watching import find_called_once

#: Names of linear layers that read the same tensor, in the order in which they are called.
Siblings = tuple[str, ...]


def make_skeleton(module: nn.Module) -> Any:
    """A copy of the structure of ``module``, which shares its tensors."""
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    skeleton = copy.deepcopy(module, dict(shared)).eval()
    for name, part in list(skeleton.named_modules()):
        if name and _is_rotation(part):
            _replace(skeleton, name, Rotation(part))
    return skeleton


def _is_rotation(part: nn.Module) -> bool:
    """Whether ``part`` gives cosines and sines, and they depend on positions only: some have other ones by layer."""
    named = type(part).__name__.endswith("RotaryEmbedding") and not any(True for _ in part.parameters())
    return named and list(inspect.signature(part.forward).parameters) == ["x", "position_ids"]


def varying_rotation(module: nn.Module) -> str | None:
    """The kind of a rotary embedding in ``module`` whose angles depend on how long a sequence is; None without one."""
    found = [getattr(part, "rope_type", None) for part in module.modules()]
    # Where kinds of layers differ in it, a dictionary has it for each.
    kinds = [kind for one in found for kind in (one.values() if isinstance(one, dict) else (one,))]
    return next((kind for kind in kinds if kind in ("dynamic", "longrope")), None)


def find_siblings(module: Any, trained: Sequence[nn.Parameter]) -> list[Siblings]:
    """Run ``module`` once, and see which of its linear layers read the same tensor.

    Args:
        module: the causal language model.
        trained: only layers count whose weights and biases are all among them.
    """
    keys = Counter(id(parameter) for parameter in trained)
    head = module.get_output_embeddings()
    parts: dict[str, Any] = {
        name: part
        for name, part in module.named_modules()
        if type(part) is nn.Linear and part is not head and all(keys[id(p)] for p in part.parameters())
    }
    groups: list[list[tuple[str, torch.Tensor]]] = []
    for name, read in find_called_once(module, parts).items():
        last = groups[-1][-1] if groups else None
        if last is not None and last[1] is read and _parent(last[0]) == _parent(name):
            groups[-1].append((name, read))
        else:
            groups.append([(name, read)])
    found = [tuple(name for name, _ in group) for group in groups]
    return [names for names in found if len(names) > 1 and len({parts[name].bias is None for name in names}) == 1]


def stack_parameters(
    module: nn.Module, trained: Sequence[nn.Parameter], groups: Sequence[Siblings]
) -> list[tuple[nn.Parameter, ...]]:
    """The trained parameters in their order, the weights of siblings together, and their biases."""
    stacks: dict[int, tuple[nn.Parameter, ...]] = {}
    for names in groups:
        parts: list[Any] = [module.get_submodule(name) for name in names]
        for kind in ("weight", "bias"):
            stack = tuple(getattr(part, kind) for part in parts if getattr(part, kind) is not None)
            stacks.update((id(parameter), stack) for parameter in stack)
    whole = [stacks.get(id(parameter), (parameter,)) for parameter in trained]
    return list({id(stack[0]): stack for stack in whole}.values())


def stack_siblings(skeleton: nn.Module, siblings: Siblings, index: int | None = None) -> None:
    """Make one product of ``siblings``: the first computes it, the others hand out their share.

    The first one's weight, and its bias, must be replaced by those of all, stacked by rows. With an ``index`` the
    product is direct (:mod:`ttft_bench.engine.compiled.direct`).
    """
    parts: list[Any] = [skeleton.get_submodule(name) for name in siblings]
    sizes = [part.out_features for part in parts]
    box: list[torch.Tensor] = []
    _replace(skeleton, siblings[0], Leader(parts[0], sizes, box, index))
    for name in siblings[1:]:
        _replace(skeleton, name, Follower(box))


def make_direct(skeleton: nn.Module, name: str, index: int) -> None:
    """Make the linear layer ``name`` a direct one (:mod:`ttft_bench.engine.compiled.direct`)."""
    part: Any = skeleton.get_submodule(name)
    transposed = type(part) is not nn.Linear
    _replace(skeleton, name, Direct(part.weight, part.bias, index, transposed))


def make_scale(skeleton: nn.Module, name: str, index: int) -> None:
    """Take the norm ``name`` apart (:mod:`ttft_bench.engine.compiled.norms`)."""
    _replace(skeleton, name, Scale(skeleton.get_submodule(name), index))


class Leader(Direct):
    """The product of all siblings; keeps in ``box`` what the others are about to ask for."""

    def __init__(self, first: Any, sizes: list[int], box: list[torch.Tensor], index: int | None) -> None:
        super().__init__(first.weight, first.bias, index)
        self.sizes = sizes
        self.box = box

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in) -> (..., out of the first)."""
        shares = torch.split(self.multiply(x), self.sizes, -1)
        self.box[:] = shares[1:]
        return shares[0]


class Follower(nn.Module):
    """Hands out the next share of a :class:`Leader`'s product."""

    def __init__(self, box: list[torch.Tensor]) -> None:
        super().__init__()
        self.box = box

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        """(..., in) -> (..., out of this one)."""
        return self.box.pop(0)


class Rotation(nn.Module):
    """The rotary embedding ``original``, looked up for the lengths that were prepared."""

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        self.original = original
        self.tables: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def prepare(self, length: int, device: torch.device) -> None:
        """Compute cosines and sines of the positions 0 .. ``length`` - 1."""
        positions = torch.arange(length, device=device)[None]
        with torch.no_grad():
            self.tables[length] = self.original(torch.empty(1, length, 1, device=device), positions)

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As ``original``, for positions that count from 0."""
        table = self.tables.get(x.shape[1])
        if table is None:
            found: tuple[torch.Tensor, torch.Tensor] = self.original(x, position_ids)
            return found
        return table[0].to(x.dtype), table[1].to(x.dtype)


def prepare_rotations(skeleton: nn.Module, length: int, device: torch.device) -> None:
    """Compute what sequences of ``length`` tokens look up."""
    for part in skeleton.modules():
        if isinstance(part, Rotation) and length not in part.tables:
            part.prepare(length, device)


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _replace(module: nn.Module, name: str, part: nn.Module) -> None:
    setattr(module.get_submodule(_parent(name)), name.rpartition(".")[2], part)


__all__ = [
    "Rotation",
    "Siblings",
    "find_siblings",
    "make_direct",
    "make_scale",
    "make_skeleton",
    "prepare_rotations",
    "stack_parameters",
    "stack_siblings",
    "varying_rotation",
]
