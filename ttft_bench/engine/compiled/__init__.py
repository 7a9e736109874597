"""The compiled backend: static shapes, torch.compile, CUDA graphs, weights side by side in flat buffers.

===============  ==============================================================================================
``options``      what can be switched off, so that each idea can be measured alone
``flat``         trained weights, gradients and moments side by side: an update is one kernel, a restore one copy
``rules``        the optimizers as arithmetic on flat tensors
``code``         the compiled function, with all weights as arguments, in bf16 where products are: no cast per step
``skeleton``     the copy of the module that is compiled: products stacked, rotary tables looked up
``heads``        attention layers from the product of queries, keys and values to heads in one kernel
``rotations``    that kernel and its derivative, in Triton
``direct``       layers whose gradients are put straight into the flat buffer, beside the rest of the backward pass
``norms``        norms taken apart, so that their gradients can be such too
``kernels``      those gradients as Triton kernels that leave room for others
``beside``       a block's update, begun while the blocks before it are still at their backward pass
``narrow``       an update that keeps to a part of the device, as a Triton kernel
``watching``     which parts are called, and on what
``attention``    causal attention without a mask, by kernels that repeat their bits
``road``         forward pass and loss: through the module's own head, or with a padded head of ours
``program``      one static shape, compiled and captured
``trial``        whether what was built gives the module's own loss and gradients
``backend``      the whole behind the interface of :mod:`ttft_bench.engine.backend`
===============  ==============================================================================================
"""

from ttft_bench.engine.compiled.backend import CompiledBackend
from ttft_bench.engine.compiled.options import Options

__all__ = ["CompiledBackend", "Options"]
