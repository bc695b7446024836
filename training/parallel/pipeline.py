"""Pipeline parallelism: micro-batches through stages of layers, in the order of one of torch's schedules.

The schedules are those of torch.distributed.pipelining: DualPipeV (the report's DualPipe with half the devices), ZBV
(zero bubble) and 1F1B. They move activations and decide what a rank does next; here is what a stage computes. All ranks
of a pipeline read the same micro-batches, since they have the same place in the batch, so nothing but activations and
their gradients travels; a stage finds its micro-batch by the number that the schedule hands to it. Losses are made
inside the last stage. What other stages add, their layers' balance losses, enters the gradient where it is made: as a
slope of 1 beside the activations' (`_AddLoss`). Losses are divided by the whole batch's counts, as everywhere, so the
schedules don't scale gradients (`scale_grads=False`; with it, torch would divide shared parameters twice).

Shapes must not change from one micro-batch to the next, so the last ones are filled up with sequences of padding,
which add nothing to losses and gradients.

Cost, in passes of one stage, of P ranks: idle time of (P - 1) forward and backward passes in 1F1B, and a third to a
half of that in the other two; activations of P micro-batches in 1F1B, P + 1 in DualPipeV. torch's DualPipeV does not
make the two passes that it pairs at the same time; what that takes are layers in parts (`Block.attention`,
`MoE.dispatch`, `MoE.compute`, `MoE.combine`).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage
from torch.distributed.pipelining.schedules import Schedule1F1B, ScheduleDualPipeV, ScheduleZBVZeroBubble

from corpusmill.training.loader.batch import Batch, empty_batch, join_batches
from corpusmill.training.model.attention import document_mask
from corpusmill.training.model.loss import Divisors, losses_of
from corpusmill.training.model.recompute import recomputation
from corpusmill.training.parallel.stages import StagedTransformer

_SCHEDULES: dict[str, Any] = {"dualpipev": ScheduleDualPipeV, "zbv": ScheduleZBVZeroBubble, "1f1b": Schedule1F1B}


class _Feed:
    """The micro-batches of a step, and what its stages have summed up on this rank."""

    def __init__(self, device: torch.device, masked: bool) -> None:
        self.device, self.masked = device, masked
        self.batches: list[Batch] = []
        self.divisors = Divisors(1, 1, 0.0, 0.0)
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)

    def inputs(self, number: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Tokens, which are valid, and mask of the micro-batch of this number."""
        batch = self.batches[int(number)]
        mask = document_mask(batch.segments).to(self.device) if self.masked else None
        return batch.tokens.to(self.device), batch.valid.to(self.device), mask


class _AddLoss(torch.autograd.Function):
    """Activations as they are; in the backward pass the loss beside them gets a slope of 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, loss: Tensor) -> Tensor:
        ctx.save_for_backward(loss)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (loss,) = ctx.saved_tensors
        return gradients[0], torch.ones_like(loss)


class _Stage(nn.Module):
    """One stage: the layers, and what comes before the first or after the last."""

    def __init__(self, model: StagedTransformer, stage: int, feed: _Feed) -> None:
        super().__init__()
        self.first, self.last = stage == 0, stage == model.count - 1
        self.numbers = model.cuts[stage]
        self._feed, self._whole = feed, [model]  # in a list, so that it does not become a part of this module
        self.layers = nn.ModuleList(model.layers[number] for number in self.numbers)
        if self.first or (self.last and model.has_embedding and model.config.mtp_depth):
            self.embed = model.embed
        if self.last:
            self.norm, self.head, self.mtp = model.norm, model.head, model.mtp

    def forward(self, x: Tensor, embedded: Tensor | None = None, *, number: Tensor) -> Any:
        """Activations [B, T, D] to those of the next stage, or to the micro-batch's loss [1].

        The first stage is given the number of the micro-batch in their place.
        """
        model, feed = self._whole[0], self._feed
        tokens, valid, mask = feed.inputs(number)
        with recomputation(model.recompute, split=model.count > model.ranks.size("pipeline")):
            if self.first:
                x = model.embed(tokens)
                embedded = x if model.embedding_travels else None
            rope = model.rope_for(x)
            x, balance = model.run_layers(x, self.numbers, rope, valid, mask)
            if not self.last:
                return self._sent_on(x, embedded, balance)
            if embedded is None and model.config.mtp_depth:
                embedded = model.embed(tokens)
            out = model.finish(x, embedded, balance, rope, valid, mask, mtp=True)
            learned = feed.batches[int(number)].learned.to(feed.device)
            micro_batch = losses_of(out, model.head.weight, tokens, learned)
        feed.sums += micro_batch.sums()
        return feed.divisors.total(micro_batch).unsqueeze(0)

    def _sent_on(self, x: Tensor, embedded: Tensor | None, balance: Tensor) -> Any:
        d = self._feed.divisors
        self._feed.sums[2] += balance.detach()
        x = _AddLoss.apply(x, balance * (d.balance_alpha / d.sequences))
        return x if embedded is None else (x, embedded)


class Pipeline:
    """What one rank does in the passes of a step.

    Args:
        model: this rank's stages.
        schedule: "dualpipev", "zbv" or "1f1b".
        micro_batch: sequences of a micro-batch.
        length: tokens of a sequence.
        masked: whether documents of one sequence are hidden from each other.
    """

    def __init__(self, model: StagedTransformer, schedule: str, micro_batch: int, length: int, masked: bool) -> None:
        self.model, self._schedule, self._micro_batch, self._length = model, schedule, micro_batch, length
        self._feed = _Feed(model.ranks.device, masked)
        self._made: dict[int, Any] = {}

    def accumulate(self, batches: Sequence[Batch], passes: int, divisors: Divisors) -> Tensor:
        """Forward and backward of all micro-batches of this pipeline; gradients are added up.

        Args:
            batches: of this pipeline, the same on all of its ranks.
            passes: micro-batches of the pipeline that has most; the others make as many.
            divisors: of the whole batch's losses.

        Returns:
            FP64 [3]: sums of main, MTP and balance loss that were made on this rank.
        """
        feed, passes = self._feed, max(passes, self.model.count)
        feed.batches = [self._filled(batches[number] if number < len(batches) else None) for number in range(passes)]
        feed.divisors = divisors
        feed.sums.zero_()
        numbers = torch.arange(passes, device=feed.device)
        first = (numbers,) if self.model.has_embedding else ()
        schedule = self._made.get(passes) or self._made.setdefault(passes, self._make(passes))
        schedule.step(*first, target=numbers, return_outputs=False, number=numbers)
        feed.batches = []
        return feed.sums.clone()

    def _filled(self, batch: Batch | None) -> Batch:
        """A micro-batch with as many sequences as all have."""
        there = [] if batch is None else [batch]
        missing = self._micro_batch - sum(len(part.tokens) for part in there)
        return join_batches([*there, *(empty_batch(self._length) for _ in range(missing))])

    def _make(self, passes: int) -> Any:
        """The schedule for so many micro-batches."""
        model, device = self.model, self._feed.device
        stages = [self._stage(stage, device) for stage in model.mine]
        options: dict[str, Any] = {"loss_fn": lambda loss, number: loss.sum(), "scale_grads": False}
        kind = _SCHEDULES[self._schedule]
        return kind(stages[0] if kind is Schedule1F1B else stages, passes, **options)

    def _stage(self, stage: int, device: torch.device) -> PipelineStage:
        model = self.model
        shape = (self._micro_batch, self._length, model.config.dim)

        def activations() -> tuple[Tensor, ...]:
            count = 2 if model.embedding_travels else 1
            return tuple(torch.empty(shape, dtype=model.dtype, device=device, requires_grad=True) for _ in range(count))

        last = stage == model.count - 1
        return PipelineStage(
            _Stage(model, stage, self._feed),
            stage,
            model.count,
            device,
            input_args=(torch.zeros(1, dtype=torch.int64, device=device),) if stage == 0 else activations(),
            output_args=(torch.zeros(1, device=device, requires_grad=True),) if last else activations(),
            group=model.ranks.group("pipeline"),
        )
