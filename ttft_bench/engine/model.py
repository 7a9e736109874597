"""A causal language model with its tokenizer, and the snapshot that every prompt is restored from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ttft_bench.engine.precision import resolve_precision
from ttft_bench.errors import ModelError, UsageError
from ttft_bench.hub import ask_hub
from ttft_bench.text import printable

#: BOS tokens that open a chat turn rather than a text: no document may start with one.
_CHAT_MARKERS = ("<|im_start|>", "<|start_header_id|>", "<start_of_turn>", "[INST]")
_END_OF_TEXT = "<|endoftext|>"


@dataclass(eq=False)
class LanguageModel:
    """A model ready to be finetuned and scored.

    Attributes:
        name: what the user called it.
        fingerprint: hash of the weights (local folders) or the hub commit.
        module: the ``transformers`` causal language model, in eval mode on ``device``, weights in fp32.
        tokenizer: its ``transformers`` tokenizer.
        start_token: the token every sequence starts with, so that the first token of a text is predicted
            from something; None if the tokenizer has none.
        start_id: its id.
        max_positions: longest input the model takes, in tokens.
        device: where the module lives.
        precision: fp32 | tf32 | bf16 (autocast over fp32 weights, in training steps).
    """

    name: str
    fingerprint: str
    module: Any
    tokenizer: Any
    start_token: str | None
    start_id: int | None
    max_positions: int
    device: torch.device
    precision: str

    def autocast(self) -> torch.autocast:
        """Context for forward passes: bf16 autocast if asked for, else a no-op."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")


class Snapshot:
    """A copy, on the same device, of every trainable parameter and every buffer of a module."""

    def __init__(self, module: torch.nn.Module) -> None:
        trained = (parameter for parameter in module.parameters() if parameter.requires_grad)
        weights = [parameter.detach() for parameter in trained]
        self._live = [*weights, *(buffer.detach() for buffer in module.buffers())]
        self._n_weights = len(weights)
        self._kept = [tensor.clone() for tensor in self._live]

    def restore(self) -> None:
        """Copy everything back, bit for bit, in one call over all tensors."""
        with torch.no_grad():
            torch._foreach_copy_(self._live, self._kept)

    def is_current(self) -> bool:
        """Whether the weights are what was kept; buffers, which some models rewrite as they score, do not count."""
        pairs = list(zip(self._live, self._kept, strict=True))
        return all(torch.equal(live, kept) for live, kept in pairs[: self._n_weights])


def state_hash(module: torch.nn.Module) -> str:
    """Hash of the bits of every parameter and buffer: equal hashes mean identical weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted((*module.named_parameters(), *module.named_buffers())):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def resolve_device(name: str) -> torch.device:
    """Turn ``auto | cpu | cuda | cuda:1 | mps`` into a device that is there.

    Raises:
        UsageError: the device does not exist on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:1 or mps") from error
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device.type, False):
        raise UsageError(f"device {name!r} is not available on this machine: use --device cpu or auto")
    if device.type == "cuda" and device.index is not None and device.index >= torch.cuda.device_count():
        raise UsageError(f"device {name!r} does not exist: this machine has {torch.cuda.device_count()} GPU(s)")
    return device


def load_tokenizer(source: str | Path) -> Any:
    """Load the tokenizer of a local folder or hub id.

    Raises:
        ModelError: it cannot be loaded.
    """
    from transformers import AutoTokenizer

    _quiet()
    try:
        _ask(source)
        return AutoTokenizer.from_pretrained(str(source))
    except Exception as error:
        raise _cannot_load(source, "tokenizer", error) from error


def load_model(
    source: str | Path,
    *,
    name: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    start_token: str = "auto",
) -> LanguageModel:
    """Load a causal language model from a local folder or hub id, weights as safetensors only.

    Args:
        source: local folder or hub id.
        name: how results call it; ``source`` if not given.
        device: see :func:`resolve_device`.
        precision: ``fp32``; ``tf32`` (fp32 with TF32 matrix products on NVIDIA GPUs); ``bf16`` (autocast);
            ``auto``, see :func:`ttft_bench.engine.precision.resolve_precision`.
        start_token: ``auto`` (BOS unless it is a chat marker, else ``<|endoftext|>``, else EOS), ``none``,
            or a token of the vocabulary.

    Raises:
        ModelError: model or tokenizer cannot be loaded, or the start token is not in the vocabulary.
        UsageError: unknown precision or device.
    """
    from transformers import AutoModelForCausalLM

    target = resolve_device(device)
    precision = resolve_precision(precision, target)
    _quiet()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    tokenizer = load_tokenizer(source)
    try:
        module = AutoModelForCausalLM.from_pretrained(str(source), dtype=torch.float32, use_safetensors=True)
    except Exception as error:
        raise _cannot_load(source, "model", error) from error
    module.to(target).eval()
    return wrap_model(
        module,
        tokenizer,
        name=name or str(source),
        fingerprint=model_fingerprint(source),
        precision=precision,
        start_token=start_token,
    )


def wrap_model(
    module: Any,
    tokenizer: Any,
    *,
    name: str,
    fingerprint: str | None = None,
    precision: str = "fp32",
    start_token: str = "auto",
) -> LanguageModel:
    """Make a :class:`LanguageModel` of a module and tokenizer that are already in memory.

    Args:
        module: a causal language model of transformers with fp32 weights, in evaluation mode, on the device to be used.
        tokenizer: its fast tokenizer.
        name: what reports call it.
        fingerprint: tells its weights from others'; a hash of them if not given.
        precision: fp32, tf32 or bf16, of training steps.
        start_token: put before every sequence: ``auto``, ``none`` or a token.

    Raises:
        ModelError: the module or a part of it is in training mode, or its weights are not fp32.
    """
    other = {str(p.dtype).removeprefix("torch.") for p in module.parameters() if p.is_floating_point()} - {"float32"}
    if other:
        raise ModelError(
            f"{name} has weights in {', '.join(sorted(other))}, and steps need fp32 ones: use module.float()"
        )
    if any(part.training for part in module.modules()):
        raise ModelError(f"{name} is in training mode, where results do not repeat: use module.eval()")
    token, token_id = resolve_start_token(tokenizer, start_token)
    return LanguageModel(
        name=name,
        fingerprint=fingerprint or state_hash(module)[:16],
        module=module,
        tokenizer=tokenizer,
        start_token=token,
        start_id=token_id,
        max_positions=_positions(module.config),
        device=next(module.parameters()).device,
        precision=precision,
    )


def resolve_start_token(tokenizer: Any, choice: str = "auto") -> tuple[str | None, int | None]:
    """Choose what a sequence starts with; see ``start_token`` of :func:`load_model`."""
    if choice == "none":
        return None, None
    vocabulary = tokenizer.get_vocab()
    if choice != "auto":
        if choice not in vocabulary:
            raise ModelError(f"start token {choice!r} is not in the tokenizer's vocabulary: use auto or none")
        return choice, int(vocabulary[choice])
    candidates = (tokenizer.bos_token, _END_OF_TEXT, tokenizer.eos_token)
    for token in candidates:
        if token is not None and token in vocabulary and token not in _CHAT_MARKERS:
            return token, int(vocabulary[token])
    return None, None


def model_fingerprint(source: str | Path) -> str:
    """Identify the weights of a local folder (hash of the files) or hub id (its commit), without loading them.

    Raises:
        ModelError: neither a folder with weights nor a hub id that can be resolved.
    """
    folder = Path(source)
    if not folder.is_dir():
        from transformers import AutoConfig

        try:
            _ask(source)
            return str(AutoConfig.from_pretrained(str(source))._commit_hash)
        except Exception as error:
            raise _cannot_load(source, "model", error) from error
    missing = [name for name in ("config.json", "*.safetensors") if not any(folder.glob(name))]
    if missing:
        raise _cannot_load(source, "model", FileNotFoundError(f"the folder has no {' and no '.join(missing)}"))
    digest = hashlib.sha256()
    for file in sorted((*folder.glob("*.safetensors"), *folder.glob("config.json"), *folder.glob("tokenizer.json"))):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def max_positions(source: str | Path) -> int:
    """The longest input that a model takes, in tokens, from its configuration alone.

    Raises:
        ModelError: that cannot be loaded.
    """
    from transformers import AutoConfig

    try:
        _ask(source)
        return _positions(AutoConfig.from_pretrained(str(source)))
    except Exception as error:
        raise _cannot_load(source, "configuration", error) from error


def _positions(config: Any) -> int:
    return int(getattr(config, "max_position_embeddings", 0) or 2**31)


def _ask(source: str | Path) -> None:
    """Ask the hub for what is no path of this machine."""
    if not Path(source).exists():
        ask_hub(str(source))


def _quiet() -> None:
    """Loading takes seconds: a bar of its own would only break the lines of the caller's progress."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def _cannot_load(source: str | Path, what: str, error: Exception) -> ModelError:
    lines = str(error).strip().splitlines()
    reason = printable(lines[0] if lines else type(error).__name__, 300).rstrip(".")
    return ModelError(
        f"cannot load the {what} of {str(source)!r}: {reason}. Give a local folder with config.json and "
        "*.safetensors, an asset name (ttft-bench assets list), or a hub id this machine can reach"
    )


__all__ = [
    "LanguageModel",
    "Snapshot",
    "load_model",
    "load_tokenizer",
    "max_positions",
    "model_fingerprint",
    "resolve_device",
    "resolve_start_token",
    "state_hash",
    "wrap_model",
]
