"""Selective recomputation: tensors that are made again in the backward pass instead of kept for it (section 3.2.3).

V3 keeps no output of an RMSNorm, of MLA's up-projections or of SwiGLU: they are the widest tensors of a layer, and
cheap to make again from inputs that are kept anyway. Attention itself, whose operations grow with the square of the
length, does not run twice, although the queries, keys and values that its backward pass reads are made again. This
rules out `torch.utils.checkpoint` around the up-projections: it would free what lies inside them, and attention would
still hold their outputs.

`remade(function, x)` computes `function(x)` and remembers how. While a forward pass runs under `recomputation`, a hook
(`torch.autograd.graph.saved_tensors_hooks`) sees each tensor that an operation saves; where it lies in the memory of a
remade output, a recipe is saved in its stead, and the output is freed as soon as the forward pass lets go of it. The
first recipe that the backward pass opens runs the function again, with a graph; the others read the same result; and
the function's own backward pass goes through that graph and drops it. Inputs of a function may be remade outputs
themselves. All operations are the same on the same numbers, and the graph around the functions is that of a plain pass,
so gradients are equal to the bit.

Two other ways were weighed. Selective checkpointing by operator (`create_selective_checkpoint_contexts`) runs whole
blocks twice, so routers count their loads twice; its policy sees operators, to which an up-projection is a matrix
product as any other; and results that it keeps include some that no backward pass needs. Told apart by shape, on two
sequences of 64 tokens, `laptop` kept 37.4 MB in FP32 and 19.5 in BF16; with recipes it keeps 33.6 and 17.0, without
recomputation 48.0 and 28.1. Emptying the storages of outputs and filling them again from a gradient hook (the
"output-discarding" checkpoints of Megatron-LM) frees the same bytes as recipes, but whatever else reads an emptied
tensor reads garbage without an error, and sharded weights (FSDP2) play the same game with their own storages. A recipe
holds no tensor that could be read by mistake.

Cost: the up-projections, norms and SwiGLU once more. Forward and backward of 4 sequences of 512 on one CPU core at
`laptop` took 2 to 3 % more time in FP32 and no more in BF16, where memory is the narrower way; of 8 sequences, they
keep 556 instead of 1,018 MB in FP32 and 281 instead of 638 in BF16. V3 at 4,096 tokens on GPUs: 108 instead of 179 GB.
Torch does not check tensors saved through hooks for later changes in place; nothing here changes any. Gradients cannot
be differentiated again.

Legend: a region is one call of `remade`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.multiprocessing.reductions import StorageWeakRef


@dataclass(frozen=True)
class _Origin:
    """Where a storage comes from: an output of a region."""

    storage: StorageWeakRef
    """Keeps the number by which the storage is known from being given to another one."""
    region: Any
    """The region's node, which holds its inputs."""
    output: int


@dataclass(frozen=True)
class _Recipe:
    """Stands for a tensor that an operation saved."""

    origin: _Origin
    size: torch.Size
    stride: tuple[int, ...]
    offset: int

    def make(self) -> Tensor:
        made = _outputs(self.origin.region)[self.origin.output].detach()
        return made.as_strided(self.size, self.stride, self.offset)


@dataclass
class _Origins:
    """The storages that regions of a forward pass have made, by number."""

    split: bool
    """Whether the backward pass goes through a region more than once."""
    made: dict[int, _Origin] = field(default_factory=dict)

    def pack(self, tensor: Tensor) -> "Tensor | _Recipe":
        """What is kept of a tensor: itself, or how it is made."""
        origin = self.made.get(tensor.untyped_storage()._cdata)
        if origin is None:
            return tensor
        return _Recipe(origin, tensor.size(), tensor.stride(), int(tensor.storage_offset()))


def _unpack(packed: "Tensor | _Recipe") -> Tensor:
    return packed.make() if isinstance(packed, _Recipe) else packed


_ORIGINS: ContextVar[_Origins | None] = ContextVar("origins", default=None)
"""Of the forward pass that is running; None where nothing is to be recomputed."""


@contextmanager
def recomputation(wanted: bool, split: bool = False) -> Iterator[None]:
    """Within it, outputs of `remade` are not kept for the backward pass; where it isn't `wanted`, they are.

    Args:
        wanted: whether to.
        split: whether the backward pass is one for inputs and one for weights, as in pipelines without bubbles. A
            region is then gone through twice, and keeps its inputs until the graph is gone.
    """
    if not wanted or not torch.is_grad_enabled():
        yield
        return
    origins = _Origins(split)
    token = _ORIGINS.set(origins)
    try:
        with torch.autograd.graph.saved_tensors_hooks(origins.pack, _unpack):
            yield
    finally:
        _ORIGINS.reset(token)


def remade(
    function: Callable[..., Tensor | tuple[Tensor, ...]], *inputs: Tensor, modules: Sequence[nn.Module] = ()
) -> Any:
    """`function(*inputs)`, made again in the backward pass where `recomputation` is on.

    Args:
        function: depends on `inputs` and weights alone and has no side effect; returns new tensors, no view of an
            input, that nobody changes in place.
        inputs: all tensors that it reads but weights. They are kept, unless they are remade themselves.
        modules: those whose weights it reads; a function that is a module reads its own.
    """
    if not torch.is_grad_enabled():
        return function(*inputs)
    if _ORIGINS.get() is None:
        # An alias: gradients that come out of the function are summed before they meet others of the same tensor.
        # Otherwise sums of three would be associated in another way than through a region.
        return function(*(tensor.view_as(tensor) for tensor in inputs))
    modules = (*modules, function) if isinstance(function, nn.Module) else modules
    weights = [weight for module in modules for weight in module.parameters()]
    return _Region.apply(function, modules, len(inputs), *inputs, *weights)


class _Region(torch.autograd.Function):
    """One node for a whole function; weights are inputs of it, so that their gradients take the usual way."""

    @staticmethod
    def forward(ctx: Any, function: Any, modules: Sequence[nn.Module], n_inputs: int, *tensors: Tensor) -> Any:
        ctx.function, ctx.modules, ctx.made = function, modules, None
        inputs = tensors[:n_inputs]
        kept = {tensor.untyped_storage()._cdata for tensor in inputs}
        origins = _ORIGINS.get()
        assert origins is not None
        # What autograd keeps is gone once it went through a node.
        ctx.kept = [origins.pack(tensor.detach()) for tensor in inputs] if origins.split else None
        if not origins.split:
            ctx.save_for_backward(*inputs)
        ctx.differentiable = [tensor.requires_grad for tensor in inputs]
        outputs = function(*inputs)
        for number, output in enumerate(_several(outputs)):
            storage = output.untyped_storage()
            assert storage._cdata not in kept, "an output that is a view of an input cannot be left to be made again"
            origins.made[storage._cdata] = _Origin(StorageWeakRef(storage), ctx, number)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        outputs = _outputs(ctx)
        # Not those of the forward pass, if sharded weights were gathered anew.
        weights = [weight for module in ctx.modules for weight in module.parameters()]
        sources = [*ctx.inputs, *weights]
        wanted = [source for source in sources if source.requires_grad]
        derivatives = iter(torch.autograd.grad(outputs, wanted, gradients))
        ctx.made = ctx.inputs = None
        return None, None, None, *(next(derivatives) if source.requires_grad else None for source in sources)


def is_remade(tensor: Tensor) -> bool:
    """Whether a tensor, saved for the backward pass now, would be left to be made again."""
    origins = _ORIGINS.get()
    return origins is not None and tensor.untyped_storage()._cdata in origins.made


def _several(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (outputs,) if isinstance(outputs, Tensor) else outputs


def _outputs(region: Any) -> tuple[Tensor, ...]:
    """What the region's function returns, with a graph to its inputs: run now, unless it was before."""
    if region.made is None:
        saved = region.saved_tensors if region.kept is None else [_unpack(packed) for packed in region.kept]
        kept = zip(saved, region.differentiable, strict=True)
        region.inputs = [tensor.detach().requires_grad_(differentiable) for tensor, differentiable in kept]
        with torch.enable_grad():
            region.made = _several(region.function(*region.inputs))
    return region.made
