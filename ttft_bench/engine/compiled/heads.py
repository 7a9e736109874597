"""Attention layers that go from the product of queries, keys and values to rotated heads in one kernel, and back.

Between the stacked product and attention lie the split into heads, the rotation by position (Su et al., RoFormer, 2021,
eq. 34), and, where several query heads share one key head, copies of keys and values. A compiler makes four kernels of
it on the way there and two on the way back, all of them so small that they cost what a launch costs. What an
attention layer must be for that is tried, not read off its name: :func:`find_attention`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from ttft_bench.engine.compiled.direct import LIBRARY
from ttft_bench.engine.compiled.watching import run_watched

#: What the three layers of a product are called, in this order, and what follows attention.
PROJECTIONS = ("q_proj", "k_proj", "v_proj")
OUTPUT = "o_proj"
#: How far a layer may be from its rewritten form in fp64, relative to the largest number.
_TOLERANCE = 1e-5
#: Root mean square of the scores on which that is tried, large enough for a limit on them, of 50 say, to show; and how
#: many times those inputs are tried as well, for limits on queries, keys and values.
_SCORES, _MORE = 6.0, 300.0

Attend = Callable[..., tuple[torch.Tensor, None]]


@dataclass(frozen=True)
class Layout:
    """How the columns of a product are heads: those of all queries, then of all keys, then of all values.

    Attributes:
        queries: number of query heads.
        keys: number of key heads, and of value heads; each serves ``queries / keys`` query heads.
        width: columns of a head.
    """

    queries: int
    keys: int
    width: int

    @property
    def columns(self) -> int:
        """Of the product."""
        return (self.queries + 2 * self.keys) * self.width


def to_heads(product: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, queries: int, keys: int) -> torch.Tensor:
    """Split, rotate and share, in fp32 or finer; values are not rotated.

    Args:
        product: (rows, length, columns).
        cos: (1 or rows, length, width).
        sin: as ``cos``.
        queries: query heads.
        keys: key heads.

    Returns:
        (3, rows, length, queries, width): queries, keys and values of every query head, in the type of ``product``.
    """
    width = cos.shape[-1]
    fine = torch.promote_types(product.dtype, torch.float32)
    columns = product.view(*product.shape[:2], queries + 2 * keys, width).to(fine)
    first, second = columns[..., : width // 2], columns[..., width // 2 :]
    cos, sin = cos.to(fine)[:, :, None], sin.to(fine)[:, :, None]
    rotated = columns * cos + torch.cat((-second, first), -1) * sin
    query, key = rotated[:, :, :queries], rotated[:, :, queries : queries + keys]
    value = columns[:, :, queries + keys :]
    shared = (part.repeat_interleave(queries // keys, 2) for part in (key, value))
    return torch.stack((query, *shared)).to(product.dtype)


def from_heads(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, keys: int
) -> torch.Tensor:
    """The derivative of :func:`to_heads`: sum over what was shared, rotate back, join.

    Args:
        query: (rows, queries, length, width), the gradient of rotated queries.
        key: of that shape, that of rotated keys.
        value: of that shape, that of values.
        cos: (1 or rows, length, width).
        sin: as ``cos``.
        keys: key heads.

    Returns:
        (rows, length, columns), the gradient of the product, in the type of ``query``.
    """
    width = cos.shape[-1]
    cos, sin = cos.float()[:, None], sin.float()[:, None]
    rows, _, length, _ = query.shape
    shared = (part.float().reshape(rows, keys, -1, length, width).sum(2) for part in (key, value))
    parts = [query.float(), *shared]
    for index, part in enumerate(parts[:2]):
        turned = part * sin
        parts[index] = part * cos + torch.cat((turned[..., width // 2 :], -turned[..., : width // 2]), -1)
    return torch.cat(parts, 1).transpose(1, 2).flatten(2).to(query.dtype)


def _to_heads(product: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, queries: int, keys: int) -> torch.Tensor:
    return product.new_empty((3, *product.shape[:2], queries, cos.shape[-1]))


def _from_heads(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, keys: int
) -> torch.Tensor:
    rows, queries, length, width = query.shape
    return query.new_empty(rows, length, (queries + 2 * keys) * width)


def _register() -> None:
    LIBRARY.define("to_heads(Tensor product, Tensor cos, Tensor sin, int queries, int keys) -> Tensor")
    LIBRARY.define("from_heads(Tensor query, Tensor key, Tensor value, Tensor cos, Tensor sin, int keys) -> Tensor")
    for plain, shape in ((to_heads, _to_heads), (from_heads, _from_heads)):
        LIBRARY.impl(plain.__name__, plain, "CompositeExplicitAutograd")
        torch.library.register_fake(f"ttft_bench::{plain.__name__}", shape, lib=LIBRARY)
    if find_spec("triton") is not None and torch.cuda.is_available():
        from ttft_bench.engine.compiled import rotations

        LIBRARY.impl("to_heads", rotations.to_heads, "CUDA")
        LIBRARY.impl("from_heads", rotations.from_heads, "CUDA")


_register()


class _Heads(torch.autograd.Function):
    """Queries, keys and values, each (rows, queries, length, width), of a product."""

    @staticmethod
    def forward(
        ctx: Any, product: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, queries: int, keys: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        ctx.save_for_backward(cos, sin)
        ctx.keys = keys
        # Laid out by tokens: attention's output then is too, which is how the next product reads it.
        query, key, value = torch.ops.ttft_bench.to_heads(product, cos, sin, queries, keys).transpose(2, 3).unbind(0)
        return query, key, value

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        cos, sin = ctx.saved_tensors
        return torch.ops.ttft_bench.from_heads(*gradients, cos, sin, ctx.keys), None, None, None, None


class Attention(nn.Module):
    """A whole attention layer of the skeleton.

    Args:
        layer: the skeleton's own, in which queries, keys and values are one product, ``layer.q_proj.multiply``.
        layout: of that product.
        attend: one of :mod:`ttft_bench.engine.compiled.attention`.
    """

    def __init__(self, layer: Any, layout: Layout, attend: Attend) -> None:
        super().__init__()
        self.q_proj = layer.q_proj
        self.o_proj = layer.o_proj
        self.layout = layout
        self.scaling = layer.scaling
        self.attend = attend

    def forward(
        self, hidden_states: torch.Tensor, position_embeddings: tuple[torch.Tensor, torch.Tensor], **_: Any
    ) -> tuple[torch.Tensor, None]:
        """(rows, length, features) -> the same, and no attention weights."""
        cos, sin = position_embeddings
        operands = self.q_proj.multiply(hidden_states), cos, sin, self.layout.queries, self.layout.keys
        query, key, value = _Heads.apply(*operands)  # type: ignore[no-untyped-call]
        output, _weights = self.attend(self, query, key, value, None, scaling=self.scaling)
        found: torch.Tensor = self.o_proj(output.flatten(2))
        return found, None


def use_heads(skeleton: nn.Module, layouts: Mapping[str, Layout], attend: Attend) -> None:
    """Put :class:`Attention` in the place of the layers that :func:`find_attention` found."""
    for name, layout in layouts.items():
        parent, _, own = name.rpartition(".")
        setattr(skeleton.get_submodule(parent), own, Attention(skeleton.get_submodule(name), layout, attend))


def find_attention(module: Any, siblings: Sequence[Sequence[str]]) -> dict[str, Layout]:
    """Name -> layout of the attention layers that :class:`Attention` can stand for.

    Their queries, keys and values must be one product, they must be given cosines and sines of whole heads, and do
    what :func:`to_heads`, causal attention and a last product do, which is tried on inputs of two sizes.

    Args:
        module: the causal language model; run once.
        siblings: layers that are one product.
    """
    named = [tuple(name.rpartition(".")[::2] for name in names) for names in siblings]
    layers = {
        parts[0][0]: module.get_submodule(parts[0][0])
        for parts in named
        if tuple(own for _, own in parts) == PROJECTIONS
    }
    layouts = {name: _layout(layer) for name, layer in layers.items()}
    widths = _table_widths(module, layers)
    return {
        name: layout
        for name, layout in layouts.items()
        if layout is not None and widths.get(name) == layout.width and _is_plain(layers[name], layout)
    }


def _table_widths(module: Any, layers: Mapping[str, nn.Module]) -> dict[str, int]:
    """Name -> columns of the cosines that a layer is given, of those that are called once and given a table."""
    seen: dict[str, list[int]] = {name: [] for name in layers}

    def note(name: str, _: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        table = keywords.get("position_embeddings")
        fits = isinstance(table, tuple) and len(table) == 2 and all(part.dim() == 3 for part in table)
        seen[name].append(table[0].shape[-1] if fits else 0)  # type: ignore[index]

    run_watched(module, layers, note)
    return {name: widths[0] for name, widths in seen.items() if len(widths) == 1}


def _layout(layer: Any) -> Layout | None:
    width = getattr(layer, "head_dim", None)
    plain = {name for name, _ in layer.named_children()} == {*PROJECTIONS, OUTPUT}
    if not plain or not isinstance(width, int) or width % 2 or not isinstance(getattr(layer, "scaling", None), float):
        return None
    sizes = [getattr(layer, name).out_features for name in PROJECTIONS]
    if sizes[1] != sizes[2] or any(size % width for size in sizes) or sizes[0] % sizes[1]:
        return None
    return Layout(sizes[0] // width, sizes[1] // width, width)


def _is_plain(layer: Any, layout: Layout) -> bool:
    try:
        layer = copy.deepcopy(layer).double()  # no other thread sees it, and no setting makes its products coarser
        weight, length = layer.q_proj.weight, 16
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            x = torch.randn(1, length, weight.shape[1], generator=generator).to(weight)
            angles = 6.3 * torch.rand(1, length, layout.width // 2, generator=generator).to(weight).repeat(1, 1, 2)
            cos, sin = angles.cos(), angles.sin()
            x *= (_SCORES / _attend(layer, x, cos, sin, layout)[1].square().mean().sqrt()) ** 0.5
            for inputs in (x, _MORE * x):
                theirs = layer(hidden_states=inputs, position_embeddings=(cos, sin), attention_mask=None)[0]
                ours = _attend(layer, inputs, cos, sin, layout)[0]
                if not (ours - theirs).abs().max() <= _TOLERANCE * theirs.abs().max():
                    return False
            return True
    except Exception:  # another kind of layer may raise anything
        return False


def _attend(
    layer: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, layout: Layout
) -> tuple[torch.Tensor, torch.Tensor]:
    """What :class:`Attention` makes of ``x`` in place of ``layer``, written out; and its scores."""
    product = torch.cat([getattr(layer, name)(x) for name in PROJECTIONS], -1)
    query, key, value = to_heads(product, cos, sin, layout.queries, layout.keys).transpose(2, 3)
    scores = layer.scaling * query @ key.transpose(-1, -2)
    later = torch.ones_like(scores, dtype=torch.bool).triu(1)
    seen = scores.masked_fill(later, float("-inf")).softmax(-1) @ value
    return layer.o_proj(seen.transpose(1, 2).flatten(2)), scores


__all__ = ["Attention", "Layout", "find_attention", "from_heads", "to_heads", "use_heads"]
