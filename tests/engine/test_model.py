from __future__ import annotations

import pytest
import torch

from families import Numbers, build
from tiny import write_model
from ttft_bench.engine.model import Snapshot, load_model, model_fingerprint, resolve_device, state_hash, wrap_model
from ttft_bench.errors import ModelError, UsageError


def test_snapshot_restores_every_bit(tiny_model_dir):
    module = load_model(tiny_model_dir, device="cpu").module
    before, snapshot = state_hash(module), Snapshot(module)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.fill_(float("nan")) if tensor.is_floating_point() else tensor.zero_()
    assert state_hash(module) != before
    snapshot.restore()
    assert state_hash(module) == before


def test_fingerprint_follows_the_weights(tmp_path):
    first, same, other = (write_model(tmp_path / n, seed=s) for n, s in (("a", 0), ("b", 0), ("c", 1)))
    assert model_fingerprint(first) == model_fingerprint(same) == load_model(first, device="cpu").fingerprint
    assert model_fingerprint(first) != model_fingerprint(other)


def test_a_missing_model_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"cannot load the .*empty.*asset name"):
        load_model(tmp_path / "empty", device="cpu")


def test_pickled_weights_are_refused(tmp_path):
    folder = write_model(tmp_path / "m")
    module = load_model(folder, device="cpu").module
    torch.save(module.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="safetensors"):
        load_model(folder, device="cpu")


def test_llama_loads_too(tmp_path):
    model = load_model(write_model(tmp_path / "m", architecture="llama"), device="cpu")
    assert model.max_positions == 128


@pytest.mark.parametrize("name", ["tpu9000", "cuda:99"])
def test_devices_that_are_not_there(name):
    with pytest.raises(UsageError, match="device"):
        resolve_device(name)


def test_unknown_precision(tiny_model_dir):
    with pytest.raises(UsageError, match="precision"):
        load_model(tiny_model_dir, precision="fp8")


def test_modules_that_would_not_repeat_or_lose_small_steps_are_refused():
    module, tokenizer = build("gpt2", tied=True), Numbers(257)
    with pytest.raises(ModelError, match=r"mine is in training mode, .*module\.eval\(\)"):
        wrap_model(module.train(), tokenizer, name="mine")
    module.eval().transformer.h[0].train()
    with pytest.raises(ModelError, match="mine is in training mode"):
        wrap_model(module, tokenizer, name="mine")
    with pytest.raises(ModelError, match=r"mine has weights in bfloat16, .*module\.float\(\)"):
        wrap_model(module.eval().bfloat16(), tokenizer, name="mine")
    assert wrap_model(module.float(), tokenizer, name="mine").name == "mine"


def test_scores_are_fp32_whatever_steps_are_taken_in(tiny_model_dir):
    from ttft_bench.engine.score import make_target, score

    full, half = (load_model(tiny_model_dir, device="cpu", precision=p) for p in ("fp32", "bf16"))
    target = make_target(full, "a few words", 64)
    assert score(half, target) == score(full, target)
    with half.autocast():
        assert half.module(input_ids=target.windows[0].tokens[None]).logits.dtype == torch.bfloat16
    assert all(p.dtype == torch.float32 for p in half.module.parameters()), "weights stay in fp32"
