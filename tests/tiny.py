"""Builders of tiny stand-ins for real models and corpora."""

from __future__ import annotations

from pathlib import Path

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
WORDS += ["lambda", "mu", "nu", "xi", "omicron", "pi", "rho", "sigma", "tau", "phi"]


def write_tokenizer(
    folder: Path, *, bos: str | None = "<|endoftext|>", specials: tuple[str, ...] = ("<|endoftext|>",)
) -> None:
    """A byte-level tokenizer: one token per byte, so every character beyond ASCII spans several tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: index for index, symbol in enumerate([*alphabet, *specials])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = {"bos_token": bos, "eos_token": bos} if bos else {}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)


def write_model(folder: Path, *, seed: int = 0, architecture: str = "gpt2", positions: int = 128) -> Path:
    """A random two-layer causal language model with the byte-level tokenizer."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if architecture == "gpt2":
            config = GPT2Config(
                vocab_size=257,
                n_positions=positions,
                n_embd=32,
                n_layer=2,
                n_head=2,
                bos_token_id=256,
                eos_token_id=256,
            )
            model = GPT2LMHeadModel(config)
        else:
            config = LlamaConfig(
                vocab_size=257,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=positions,
                bos_token_id=256,
                eos_token_id=256,
                pad_token_id=None,
            )
            model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    return folder
