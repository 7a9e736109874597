"""Which weights are trained: sets ``requires_grad`` on a module's parameters, or adds low-rank adapters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ttft_bench.draws import drawing
from ttft_bench.engine.headers import needs_peft
from ttft_bench.engine.settings import BiasNorm, Full, Last, LoRA, parse_trainable
from ttft_bench.errors import ModelError, UsageError

#: Adapters start from one draw, whatever was drawn before: results must not depend on the order of things.
_ADAPTER_SEED = 20_211_016


def select_trainable(module: nn.Module, spec: str) -> list[nn.Parameter]:
    """Make the weights of ``spec`` trainable and freeze all others.

    Adapters are injected into ``module`` and stay there; they begin as zero and change no output.

    Args:
        module: a causal language model of ``transformers``.
        spec: see :mod:`ttft_bench.engine.settings`.

    Returns:
        The trainable parameters, each once.

    Raises:
        ModelError: the module has none of them, or peft is missing.
        UsageError: more blocks than there are, or adapters on a module that has others already.
    """
    chosen = parse_trainable(spec)
    if isinstance(chosen, LoRA):
        _inject_adapters(module, chosen, spec)
        wanted = {id(p) for name, p in module.named_parameters() if "lora_" in name}
    elif getattr(module, "_ttft_adapters", None) is not None:
        raise UsageError(f"the model carries adapters from an earlier lora: load it anew to train {spec}")
    elif isinstance(chosen, Full):
        wanted = {id(p) for p in module.parameters()}
    elif isinstance(chosen, Last):
        wanted = {id(p) for part in _last_parts(module, chosen.k) for p in part.parameters()}
    else:
        assert isinstance(chosen, BiasNorm)
        wanted = {id(p) for name, p in module.named_parameters() if name.endswith("bias")}
        wanted |= {id(p) for part in module.modules() if _is_norm(part) for p in part.parameters(recurse=False)}
    for parameter in module.parameters():
        parameter.requires_grad_(id(parameter) in wanted)
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise ModelError(f"{type(module).__name__} has no weights of the set {spec!r}: choose another --trainable")
    return parameters


@contextmanager
def trainable_for_now(module: nn.Module, spec: str) -> Iterator[list[nn.Parameter]]:
    """Inside, the weights of ``spec`` are trainable; afterwards those that were. See :func:`select_trainable`."""
    before = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    try:
        yield select_trainable(module, spec)
    finally:
        for parameter, wanted in before:
            parameter.requires_grad_(wanted)


def _is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower()


def find_blocks(module: nn.Module) -> tuple[nn.Module, nn.ModuleList]:
    """The list of transformer blocks, and the module that holds it.

    Raises:
        ModelError: the module has no such list.
    """
    lists = [
        (parent, child)
        for parent in module.modules()
        for child in parent.children()
        if isinstance(child, nn.ModuleList) and len(child)
    ]
    if not lists:
        raise ModelError(f"{type(module).__name__} has no list of blocks: train the set full or bias+norm")
    return max(lists, key=lambda pair: sum(p.numel() for p in pair[1].parameters()))


def _last_parts(module: nn.Module, k: int) -> Iterator[nn.Module]:
    parent, blocks = find_blocks(module)
    if k > len(blocks):
        raise UsageError(f"last[k={k}]: {type(module).__name__} has {len(blocks)} blocks")
    yield from list(blocks)[-k:]
    yield from (child for child in parent.children() if _is_norm(child))
    head = module.get_output_embeddings()  # type: ignore[operator]
    # A tied head is the input embedding of the whole model.
    if isinstance(head, nn.Module) and head.weight is not module.get_input_embeddings().weight:  # type: ignore[operator]
        yield head


def _inject_adapters(module: nn.Module, chosen: LoRA, spec: str) -> None:
    present = getattr(module, "_ttft_adapters", None)
    if present == chosen:
        return
    if present is not None:
        raise UsageError(f"the model already carries the adapters {present}: load it anew for {spec}")
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ModelError(needs_peft(spec)) from error
    targets = _linear_names(module) if chosen.targets == "all-linear" else chosen.targets.split("+")
    transposed = any(type(part).__name__ == "Conv1D" for part in module.modules())
    config = LoraConfig(
        r=chosen.r, lora_alpha=chosen.alpha, target_modules=targets, lora_dropout=0.0, fan_in_fan_out=transposed
    )
    device = next(module.parameters()).device
    with drawing(_ADAPTER_SEED, device):
        try:
            inject_adapter_in_model(config, module)
        except ValueError as error:
            names = ", ".join(_linear_names(module))
            raise UsageError(f"{spec}: no layer of {type(module).__name__} fits (it has: {names})") from error
    module.eval()
    module._ttft_adapters = chosen  # type: ignore[assignment]


def _linear_names(module: nn.Module) -> list[str]:
    """Last names of all linear layers but the output head."""
    head = module.get_output_embeddings()  # type: ignore[operator]
    return sorted(
        {
            name.rpartition(".")[2]
            for name, part in module.named_modules()
            if (isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D") and part is not head
        }
    )


__all__ = ["find_blocks", "select_trainable", "trainable_for_now"]
