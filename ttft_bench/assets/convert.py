"""Convert a GGUF file to a Hugging Face folder, once; run as a process of its own.

A process of its own keeps the peak memory, the progress bars and the warnings of the conversion away from
the caller: ``python -m ttft_bench.assets.convert GGUF FOLDER``.

The dequantised weights are kept in float32: Q4_1 is ``scale * q + minimum`` with float16 scales, and that
product is exact in neither float16 nor bfloat16.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ttft_bench.errors import ModelError
from ttft_bench.text import printable

#: Source text with the runs of spaces, line ends and wide characters that a careless tokenizer normalises.
_PROBE = "def f(x):\n    return x  +\t1  # héllo, 日本語 🎉\n\n\n  if a , b . c ! don 't \n"


def convert(gguf: Path, folder: Path) -> None:
    """Write ``config.json``, ``model.safetensors`` (float32) and the tokenizer of ``gguf`` into ``folder``.

    Raises:
        ModelError: the conversion failed; the message ends with its last line.
    """
    command = [sys.executable, "-m", "ttft_bench.assets.convert", str(gguf), str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        lines = [printable(line, 300) for line in done.stderr.splitlines() if line.strip()]
        said = lines[-1] if lines else f"exit code {done.returncode}"
        raise ModelError(f"cannot convert {gguf.name} to safetensors: {said}")


def _convert_here(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    _check_tokenizer(tokenizer)
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = loaded.config
    # The loaded model calls itself quantised and refuses to be saved; a plain one takes over its weights.
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config)
    plain.load_state_dict(loaded.state_dict())
    plain.tie_weights()
    plain.generation_config = loaded.generation_config
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _check_saved(loaded, folder)


def _check_tokenizer(tokenizer: object) -> None:
    encode, decode = tokenizer.encode, tokenizer.decode  # type: ignore[attr-defined]
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError("the tokenizer is not a fast one, so it has no offsets")
    if decode(encode(_PROBE, add_special_tokens=False)) != _PROBE:
        raise ValueError("the tokenizer does not give back the text it was given")
    if "<|endoftext|>" not in tokenizer.get_vocab():  # type: ignore[attr-defined]
        raise ValueError("the tokenizer has no <|endoftext|>")


def _check_saved(loaded: object, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    saved = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    for name, weight in loaded.state_dict().items():  # type: ignore[attr-defined]
        if not torch.equal(saved[name], weight):
            raise ValueError(f"{name} was not saved exactly")
    _check_tokenizer(AutoTokenizer.from_pretrained(folder))


if __name__ == "__main__":
    _convert_here(Path(sys.argv[1]), Path(sys.argv[2]))


__all__ = ["convert"]
