"""The compiled backend: one program per bucket of lengths for the gradient, and one for the update.

Nothing inside a prompt waits for the device: token ids are copied from tensor to tensor, the learning rate
and the loss weight are scalars on the device that are filled only when they change, and losses stay there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, ClassVar

import torch

from ttft_bench.engine.backend import Backend
from ttft_bench.engine.buckets import choose_bucket
from ttft_bench.engine.clock import synchronize
from ttft_bench.engine.compiled.attention import REPEATABLE, choose_attention, kernels, takes_attention
from ttft_bench.engine.compiled.beside import Beside
from ttft_bench.engine.compiled.code import Code, can_split, make_code, matrix_weights
from ttft_bench.engine.compiled.direct import KEEPING, find_direct
from ttft_bench.engine.compiled.flat import FlatGroup
from ttft_bench.engine.compiled.heads import find_attention
from ttft_bench.engine.compiled.norms import find_norms
from ttft_bench.engine.compiled.options import Options
from ttft_bench.engine.compiled.program import BUILDING, Program
from ttft_bench.engine.compiled.road import Road, SplitRoad, WholeRoad, head_rows
from ttft_bench.engine.compiled.rules import Update
from ttft_bench.engine.compiled.skeleton import find_siblings, stack_parameters, varying_rotation
from ttft_bench.engine.compiled.trial import check_gradients, check_loss, filled, trial_tokens
from ttft_bench.engine.eager import pad
from ttft_bench.engine.model import LanguageModel
from ttft_bench.engine.settings import Adam, Settings, parse_optimizer
from ttft_bench.engine.trainable import select_trainable
from ttft_bench.errors import BackendError

_MAX_SHAPES = 64


class CompiledBackend(Backend):
    """See :mod:`ttft_bench.engine.compiled`. Takes the weights of ``model`` over: one of it per model.

    Args:
        model: what is finetuned.
        settings: how.
        options: the defaults if not given.
        like: a backend of an equal model, whose compiled code serves this one too.

    Raises:
        BackendError: it cannot be built.
    """

    name: ClassVar[str] = "compiled"

    def __init__(
        self,
        model: LanguageModel,
        settings: Settings,
        options: Options | None = None,
        like: CompiledBackend | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        self.options = options or Options()
        if settings.dropout:
            raise BackendError("the compiled backend has no dropout")
        if model.device.type not in ("cpu", "cuda"):
            raise BackendError(f"the compiled backend runs on cpu and cuda, not on {model.device.type}")
        varying = varying_rotation(model.module)
        if varying is not None:
            raise BackendError(
                f"compiled steps are padded, and the model's rotary embedding ({varying}) changes with the length"
            )
        attention = self.options.attention if takes_attention(model.module) else "model"
        self.attention = choose_attention(attention, model.module.config, model.device, self.options.compile)
        on_cuda = model.device.type == "cuda"
        self.repeatable = not on_cuda or self.attention in REPEATABLE
        graphs = self.options.graphs and on_cuda
        self._pool = torch.cuda.graph_pool_handle() if graphs else None
        urgent = -1 if self.options.priorities else 0  # what others wait for goes first
        self._stream = torch.cuda.Stream(model.device, urgent) if graphs else None  # type: ignore[no-untyped-call]
        self._patient = torch.cuda.Stream(model.device) if graphs else None  # type: ignore[no-untyped-call]
        aside = graphs and self.options.direct and self.options.aside
        self._aside = torch.cuda.Stream(model.device) if aside else None  # type: ignore[no-untyped-call]
        self._programs: dict[int, Program] = {}
        self._wholes: dict[int, Program] = {}
        self._tokens: dict[int, torch.Tensor] = {}
        self._weight = torch.ones((), device=model.device)
        self._filled = {"weight": 1.0, "lr": 0.0}
        trained = select_trainable(model.module, settings.trainable)
        with self._building("its buffers"):
            # Uncompiled, the code puts stand-ins into its module for the time of a call: no two lanes may share it.
            shared = like.code if like is not None and self.options.compile else None
            self.code: Code = shared or self._make_code(trained)
            self.groups, self.road = self._lay_out(trained)
            self.road.sink.stream = self._aside
            if self.options.kernels and self._has_kernels():
                from ttft_bench.engine.compiled import kernels as gradient_kernels

                self.road.sink.kernels = gradient_kernels
                self.road.sink.chain = self.options.chain
            self._buffers = [buffer.detach() for buffer in model.module.buffers()]
            self._kept = [buffer.clone() for buffer in self._buffers]
        with self._building("the optimizer step"):
            rule = parse_optimizer(settings.optimizer)
            self._update = Update(rule, self.groups, settings.clip, self._wrap, self.options.dither)
            self._step = Program(self._update, model.device, self._pool, self._patient)
            self._beside = self._make_beside()
            self.restore()

    def prepare(self, sequences: Sequence[torch.Tensor]) -> tuple[int, torch.Tensor]:
        """Pad to the smallest bucket, which is compiled if it is new."""
        longest = max(len(sequence) for sequence in sequences) - 1
        length = choose_bucket(longest, self.model.max_positions)
        tokens = torch.stack(pad(sequences, length, self.settings.batch))
        if length not in self._programs:
            with self._building(f"a step of {length} tokens"):
                self._build(length, tokens)
        return length, tokens

    def representatives(self, sequences: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The longest sequence of every bucket."""
        limit = self.model.max_positions
        found = {choose_bucket(len(sequence) - 1, limit): sequence for sequence in sorted(sequences, key=len)}
        return list(found.values())

    def gradient(self, batch: tuple[int, torch.Tensor], loss_weight: float = 1.0) -> torch.Tensor:
        """Replay forward and backward pass."""
        return self._run(self._programs, batch, loss_weight)

    def fresh(self, batch: tuple[int, torch.Tensor], lr: float, loss_weight: float = 1.0) -> torch.Tensor:
        """Replay both with the optimizer step begun block by block; one after the other where gradients are clipped."""
        if self._beside is None:
            return super().fresh(batch, lr, loss_weight)
        self._fill("lr", self._update.lr, lr)
        return self._run(self._wholes, batch, loss_weight)

    def update(self, lr: float) -> None:
        """Replay the optimizer step."""
        self._fill("lr", self._update.lr, lr)
        self._step.run()

    def restore(self) -> None:
        """Copy the weights back. Step 0 makes the moments count as zero: nothing else has to be cleared."""
        for group in self.groups:
            group.restore()
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._kept)
        self._update.step.zero_()

    def is_untouched(self) -> bool:
        """Compare the weights with what was kept; buffers, which some models rewrite as they score, do not count."""
        return all(group.is_current() for group in self.groups)

    def _run(self, programs: dict[int, Program], batch: tuple[int, torch.Tensor], loss_weight: float) -> torch.Tensor:
        length, tokens = batch
        self._tokens[length].copy_(tokens, non_blocking=True)
        self._fill("weight", self._weight, loss_weight)
        programs[length].run()
        loss: torch.Tensor = programs[length].result.clone()
        return loss

    def _make_code(self, trained: list[torch.nn.Parameter]) -> Code:
        model, module = self.model, self.model.module
        split = self.options.split and can_split(model)
        siblings = find_siblings(module, trained) if self.options.stack else []
        # Without a shadow autocast casts weights in every pass: what is multiplied is not what is trained.
        fits = self.options.direct and (self.options.shadow or model.precision != "bf16")
        found = find_direct(module, trained, siblings) if fits else []
        head = module.get_output_embeddings()
        # A split head is outside the module: it is direct by itself, and may be although it shares its weight.
        direct = [name for name in found if not split or module.get_submodule(name) is not head]
        direct_head = fits and split and any(head.weight is parameter for parameter in trained)
        norms = find_norms(module, trained) if fits and self.options.norms else []
        heads = find_attention(module, siblings) if self.options.heads and self.attention != "model" else {}
        return make_code(model, split, self.attention, siblings, direct, direct_head, norms, heads, self._wrap)

    def _lay_out(self, trained: list[torch.nn.Parameter]) -> tuple[list[FlatGroup], Road]:
        module = self.model.module
        shadow = self.options.shadow and self.model.precision == "bf16"
        dtype = torch.bfloat16 if shadow else torch.float32
        matrices = matrix_weights(module) if shadow else set()
        stacks = {id(stack[0]): stack for stack in stack_parameters(module, trained, self.code.siblings)}
        # Direct layers first, in the order in which they are called: what is updated together lies together.
        direct = [id(module.get_submodule(name).weight) for name in self.code.direct]
        direct += [id(module.get_output_embeddings().weight)] if self.code.direct_head else []
        ordered = {key: stacks[key] for key in (*direct, *stacks)}
        cast = [stack for key, stack in ordered.items() if key in matrices]
        plain = [stack for key, stack in ordered.items() if key not in matrices]
        rows = head_rows(self.model) if self.code.split else {}
        groups = [FlatGroup(some, kind, rows) for some, kind in ((cast, dtype), (plain, torch.float32)) if some]
        road = SplitRoad if self.code.split else WholeRoad
        return groups, road(self.model, groups, dtype, self.code)

    def _make_beside(self) -> Beside | None:
        if not self.options.beside or not self.code.direct or self.settings.clip is not None:
            return None
        names, tied = [*self.code.direct], None
        if self.code.direct_head and self.road.tied:
            rows, width = self.groups[0].leaves[len(names)].shape
            tied = rows, width
        elif self.code.direct_head:
            names.append("head")
        programs = self._count_programs()
        beside = Beside(self._update, self.groups[0], names, self.road.sink, self._patient, programs, tied)
        beside.warm_up()
        return beside

    def _has_kernels(self) -> bool:
        """Whether there can be kernels of our own."""
        return self.options.compile and self.model.device.type == "cuda" and find_spec("triton") is not None

    def _count_programs(self) -> int:
        """Thread blocks of a narrow update; 0 where nothing is beside it, or no kernels are: of Adam, in triton.

        Uncompiled, an update at the end would round otherwise than these kernels do.
        """
        wanted = self._pool is not None and self.options.narrow and isinstance(self._update.rule, Adam)
        if not (wanted and self._has_kernels()):
            return 0
        found = torch.cuda.get_device_properties(self.model.device).multi_processor_count
        return max(1, round(self.options.narrow * found))

    def _build(self, length: int, tokens: torch.Tensor) -> None:
        static = self._tokens[length] = tokens.clone()
        self.code.prepare(tokens.shape[-1])
        in_place = [group.gradient.clone() for group in self.groups]  # the next step may reuse it

        def gradient() -> torch.Tensor:
            with kernels(self.attention):  # around ours alone: the model's own passes may need others
                return self.road(static, self._weight)

        def whole() -> torch.Tensor:
            assert self._beside is not None
            with self._beside.listening(static[0].flatten()):
                return gradient()

        program = Program(gradient, self.model.device, self._pool, self._stream)
        program.run()
        check_loss(self.model, tokens, program.result)
        static.copy_(trial_tokens(self.model, tokens))
        self._fill("weight", self._weight, 1.0)
        with filled(self.groups):
            program.run()
            gradients = [group.find_gradients() for group in self.groups]
            check_gradients(self.model, static, {p: view for found in gradients for p, view in found.items()})
        if self._beside is not None:
            # Never run on trial: it would change the weights. All that it calls has been called.
            self._wholes[length] = Program(whole, self.model.device, self._pool, self._stream, warm=False)
        for group, kept in zip(self.groups, in_place, strict=True):
            group.gradient.copy_(kept)
        self._programs[length] = program

    def _wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if not self.options.compile:
            return function
        options = {**(KEEPING if self._aside is not None else {}), **dict(self.options.inductor)}
        compiled: Callable[..., Any] = torch.compile(function, dynamic=False, options=options or None)
        return compiled

    def _fill(self, what: str, scalar: torch.Tensor, value: float) -> None:
        if self._filled[what] != value:
            scalar.fill_(value)
            self._filled[what] = value

    @contextmanager
    def _building(self, what: str) -> Iterator[None]:
        """Count the time as compiling, and turn whatever a compiler raises into one kind of error."""
        import torch._dynamo

        started = time.perf_counter()
        try:
            with BUILDING, torch._dynamo.config.patch(recompile_limit=_MAX_SHAPES):
                yield
                synchronize(self.model.device)
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            raise BackendError(
                f"the compiled backend cannot build {what}: {type(error).__name__}{': ' if text else ''}{text}"
            ) from error
        finally:
            self.compile_s += time.perf_counter() - started


__all__ = ["CompiledBackend"]
