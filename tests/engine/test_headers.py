"""What the headers of weight files say about a model is what the loaded model says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from families import FAMILIES, build
from ttft_bench.engine.headers import check_trainable, weight_shapes
from ttft_bench.engine.trainable import select_trainable
from ttft_bench.errors import ModelError, TtftBenchError, UsageError

SPECS = ["full", "bias+norm", "last", "last[k=2]", "last[k=3]", "lora", "lora[r=2,targets=nowhere]"]
SPECS += ["lora[targets=nowhere+c_fc+down_proj+dense_4h_to_h+fc2]"]


def refusal(call, *arguments):
    try:
        call(*arguments)
    except TtftBenchError as error:
        return type(error), str(error)
    return None


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_trainable_set_is_refused_exactly_where_the_model_would_refuse_it(family, tied, tmp_path):
    build(family, tied).save_pretrained(tmp_path)
    told = {spec: refusal(check_trainable, spec, tmp_path) for spec in SPECS}
    assert told == {spec: refusal(select_trainable, build(family, tied), spec) for spec in SPECS}
    assert [spec for spec in SPECS if told[spec]] == ["last[k=3]", "lora[r=2,targets=nowhere]"]


def test_of_a_model_on_a_hub_nothing_is_known_and_a_torn_file_is_named(tmp_path):
    check_trainable("last[k=999]", "owner/name")
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match=r"model\.safetensors is not a whole safetensors file"):
        weight_shapes(tmp_path)


def test_adapters_without_peft_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("ttft_bench.engine.headers.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"'lora' needs peft: pip install"):
        check_trainable("lora", tmp_path)


def test_what_is_refused_at_once_is_refused_without_torch(tiny_model_dir):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from ttft_bench.engine.headers import check_trainable\n"
        "from ttft_bench.sweep.request import Request\n"
        "from ttft_bench.sweep.suite import FinetuneSpec, Suite\n"
        "from ttft_bench.errors import UsageError\n"
        "def refused(call):\n"
        "    try:\n"
        "        call()\n"
        "    except UsageError:\n"
        "        return True\n"
        "specs = ({'trainable': 'nonsense'}, {'optimizer': 'adan'}, {'lr': -1.0}, {'long': 'fold'}, {'clip': 0.0})\n"
        "assert all(refused(lambda: Suite('s', finetune=FinetuneSpec(**spec))) for spec in specs)\n"
        "assert refused(lambda: Request(Suite('s'), Path('run'), backend='jit'))\n"
        "assert refused(lambda: Request(Suite('s'), Path('run'), lanes=0))\n"
        "assert refused(lambda: check_trainable('last[k=9]', sys.argv[1]))\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tiny_model_dir], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


def test_a_spec_that_does_not_parse_is_refused_before_any_file_is_looked_at(tmp_path):
    with pytest.raises(UsageError, match="unknown trainable set 'nonsense'"):
        check_trainable("nonsense", tmp_path)
