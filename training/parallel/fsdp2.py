"""FSDP2: even weights are kept in parts, and are whole only while a layer computes.

torch's `fully_shard` cuts every parameter along its first axis into W parts. Before a layer runs, its parts are
gathered (in BF16 where that is what it computes in); afterwards the whole is dropped, and gathered again for the
backward pass, whose gradients a reduce-scatter sums into the parts in FP32. A rank then needs 1 / W of weights,
gradients and moments, and one or two whole layers. The price: weights cross the network twice a micro-batch, gradients
once, where ZeRO-1 moves each once a step; and every pass involves all ranks, so all must make equally many
(`passes`, `empty_batch`).

Groups that are gathered together are each layer, each MTP module, and the rest: embedding, final norm and head. The
rest stays whole from a forward pass until its backward pass ends, since MTP modules use the embedding's output and the
loss reads `model.head.weight` after the forward pass. Where the computation is in BF16, routers are groups of their
own, gathered in FP32.

The parts on a rank are the masters, seen from outside as DTensors. AdamW, element by element, works on the local
tensors within them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from corpusmill.training.model.moe import Gate
from corpusmill.training.model.transformer import Transformer
from corpusmill.training.optimizer import make_optimizer, moments_by_name, set_learning_rate, set_steps
from corpusmill.training.parallel.ranks import Ranks
from corpusmill.training.parallel.weights import Weights
from corpusmill.training.precision import TYPES


class Fsdp2(Weights):
    """Weights of a model that are wholly spread over ranks. Takes the model over; see `Zero1` for the arguments."""

    def __init__(
        self,
        model: Transformer,
        ranks: Ranks,
        precision: str = "float32",
        moments: str = "float32",
        weight_decay: float = 0.1,
    ) -> None:
        super().__init__(model, ranks)
        self._root = _shard(model, ranks, TYPES[precision])
        # `detach` shares the memory, and takes changes in place.
        self._parts = dict(model.named_parameters())
        self._masters = {name: cast(DTensor, part.detach()) for name, part in self._parts.items()}
        self._local = {name: master.to_local() for name, master in self._masters.items()}
        self._optimizer = make_optimizer(self._local.values(), weight_decay, TYPES[moments])

    @contextmanager
    def accumulating(self, last: bool) -> Iterator[None]:
        """The last reduce-scatters of a micro-batch may run beside the next one, those of the last are waited for."""
        self._root.set_is_last_backward(last)
        yield

    def passes(self, micro_batches: int) -> int:
        return self._most(micro_batches)

    def reduce_gradients(self) -> None:
        """Backward passes have summed gradients into the parts; here AdamW is shown them."""
        for name, part in self._parts.items():
            gradient = cast(DTensor | None, part.grad)
            self._local[name].grad = None if gradient is None else gradient.to_local()

    def gradients(self) -> list[Tensor]:
        return [local.grad for local in self._local.values() if local.grad is not None]

    def gradient_norms(self) -> Tensor:
        squares = torch.zeros(len(self._local), device=self.ranks.device)
        gradients = self.gradients()
        if gradients:
            places = [place for place, local in enumerate(self._local.values()) if local.grad is not None]
            squares[places] = torch.stack(torch._foreach_norm(gradients)).square()
        return self.ranks.sum_(squares).sqrt()

    def step(self, learning_rate: float) -> None:
        set_learning_rate(self._optimizer, learning_rate)
        self._optimizer.step()
        self.follow()

    def follow(self) -> None:
        """Drops whole weights that a forward pass without a backward pass left, so that the next gathers new ones."""
        for module in self.model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    def zero_gradients(self) -> None:
        for name, part in self._parts.items():
            part.grad = self._local[name].grad = None

    def masters(self) -> dict[str, Tensor]:
        return dict(self._masters)

    def moments(self) -> dict[str, Tensor]:
        return {
            name: _like(self._masters[name.split(".", 1)[1]], local)
            for name, local in moments_by_name(self._optimizer, self._local).items()
        }

    def loaded(self, steps: int) -> None:
        set_steps(self._optimizer, steps)
        self.follow()


def _shard(model: Transformer, ranks: Ranks, dtype: torch.dtype) -> FSDPModule:
    """Cuts a model's parameters into parts, in the groups that the module's docstring names."""
    mesh = init_device_mesh(ranks.device.type, (ranks.world_size,))
    # Inputs are left alone: RoPE's table is FP32 whatever the weights are, and activations follow the embedding.
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    whole = MixedPrecisionPolicy(param_dtype=torch.float32, reduce_dtype=torch.float32, cast_forward_inputs=False)
    routers = [module for module in model.modules() if isinstance(module, Gate)]
    for router in routers if dtype != torch.float32 else ():
        fully_shard(router, mesh=mesh, mp_policy=whole)
    for layer in (*model.layers, *model.mtp):
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    root = fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=False)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return root


def _like(spread: DTensor, local: Tensor) -> DTensor:
    """A local tensor as this rank's part of a DTensor that is laid out like `spread`; shares its memory."""
    return DTensor.from_local(
        local, spread.device_mesh, spread.placements, run_check=False, shape=spread.shape, stride=spread.stride()
    )
