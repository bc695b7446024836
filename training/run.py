"""A training run in memory: weights, loader and counters, advanced one step at a time.

A step reads its whole share of the batch first (8 bytes a token), because losses are divided by the whole batch's
counts of what is learned, over all ranks; then each micro-batch runs forward and backward and adds to the gradients. So
any batch can be made of any micro-batch on any number of ranks, and the numbers are the same but for the rounding of
sums. Then come the one sum over ranks, clipping, AdamW, the routers' biases by the loads of all ranks, and the moving
average.

A run's whole state is tensors by name (weights, moments, router biases, average, torch's random state) and a few
numbers (steps, tokens, the loader's one integer, what the watch for spikes remembers). Names don't depend on the number
of ranks, so a checkpoint resumes in any layout; in the one it was written in, bit for bit. Nothing random happens after
the weights are drawn; torch's generator is saved for a model that would draw.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.randomness import random_key
from corpusmill.training.average import MovingAverage
from corpusmill.training.checkpoint.checkpoints import Checkpoints, read_state
from corpusmill.training.checkpoint.pieces import Piece
from corpusmill.training.fitting import require_device_memory, require_memory
from corpusmill.training.fp8.policy import matrices_for
from corpusmill.training.fp8.watching import Fp8Watch
from corpusmill.training.layout import require_layout
from corpusmill.training.loader.batch import Batch, empty_batch
from corpusmill.training.loader.shard_cache import usual_cache
from corpusmill.training.loader.shard_loader import ShardLoader
from corpusmill.training.loader.shard_set import ShardSet
from corpusmill.training.model.attention import document_mask
from corpusmill.training.model.config import ModelConfig, as_dictionary, preset
from corpusmill.training.model.loss import Divisors, losses
from corpusmill.training.model.moe import take_loads, update_biases, violations
from corpusmill.training.model.transformer import Transformer, fill, initialise
from corpusmill.training.parallel import build, choose, pipeline_of, placement_for
from corpusmill.training.parallel.ranks import ALONE, Ranks
from corpusmill.training.schedule import Scheduled, planned_sequences, schedule, schedule_of
from corpusmill.training.settings import TrainSettings, changeable_settings
from corpusmill.training.watching.spikes import ROLLED_BACK, STOPPED, SpikeLog, SpikeWatch, sequence_losses, spike_of
from corpusmill.training.weights_start import start_weights

FREE_TO_CHANGE = changeable_settings()
"""Settings that may change when a run is resumed: those that say how it is carried out, some of which change the last
bits of its numbers, and those for spikes, since a run stopped by one could not get past it otherwise."""
_IN_THE_PLAN = {"mixture", "phases"}
_SHARE_PLACES = 5


@contextmanager
def reproducible(threads: int, seed: int = 0, rank: int = 0) -> Iterator[None]:
    """Torch with this many threads, deterministic algorithms only and its generator seeded; restores all at the end."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic, and refused
    torch.use_deterministic_algorithms(True)
    # Filling every new tensor with NaN finds reads of unset memory; here it would only cost time.
    memory.fill_uninitialized_memory = False
    try:
        with torch.random.fork_rng():
            torch.manual_seed(random_key(seed, "torch", f"rank {rank}"))
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        memory.fill_uninitialized_memory = filled


def model_config(settings: TrainSettings, shards: ShardSet) -> ModelConfig:
    """The preset with its overrides, and the rows that the shards' tokenizer needs."""
    rows = shards.header.model_rows
    config = preset(settings.preset, {"vocab_size": rows, **settings.model})
    if config.vocab_size < rows:
        raise UserError(
            f"the model has {config.vocab_size} vocabulary rows, the shards' tokenizer needs {rows}",
            where=settings.shards,
            hint="omit vocab_size",
        )
    if shards.sequence_length < config.mtp_depth + 2:
        raise UserError("sequences are too short to predict anything", where=settings.shards, hint="pack longer ones")
    return config


class Run:
    """A run on one rank, advanced by `step`.

    Resumes from the newest checkpoint of the output folder where there is one. Raises UserError when that was made
    with other settings or other shards.
    """

    def __init__(self, settings: TrainSettings, ranks: Ranks = ALONE) -> None:
        self.settings = settings
        self.shards = ShardSet(settings.shards, usual_cache(settings.shards))
        if len(self.shards) < settings.batch_sequences:
            raise UserError(
                f"{len(self.shards)} sequences are fewer than a batch of {settings.batch_sequences}",
                where=settings.shards,
                hint="pack more text, or train with a smaller batch",
            )
        self.length = self.shards.sequence_length
        self.schedule = schedule_of(settings, self.length)
        if settings.plan is not None:
            wanted = planned_sequences(
                settings.batch_sequences,
                settings.first_batch_sequences,
                settings.batch_ramp_tokens,
                settings.steps,
                self.length,
            )
            settings.plan.check(self.shards.groups, self.length, wanted)
        self.config = model_config(settings, self.shards)
        self.ranks = ranks = ranks.laid_out(require_layout(self.config, settings, ranks.world_size))
        self.loader = ShardLoader(
            self.shards, settings.micro_batch, ranks.batch_rank, ranks.size("batch"), settings.seed, settings.plan
        )
        self.checkpoints = Checkpoints(
            Path(settings.output) / "checkpoints", settings.keep_checkpoints, settings.keep_every, ranks
        )
        self.watch = SpikeWatch(settings.spikes, settings.spike_window, settings.spike_deviations)
        self.steps_done, self.tokens, self.positions = 0, 0, 0
        self.tokens_of_step = 0
        self.asked_to_stop = False
        """Set on any rank when it is to stop; after the next step `stopping` is set on all."""
        self.stopping = False
        newest = self.checkpoints.latest()
        if newest is None:
            self._require_spare_data()
        on_cpu = ranks.device.type == "cpu"
        require_memory(self.config, settings, ranks.world_size, on_cpu=on_cpu)
        if not on_cpu:
            there = torch.cuda.get_device_properties(ranks.device).total_memory
            require_device_memory(self.config, settings, ranks.world_size, there)
        matrices = matrices_for(settings, ranks.device)
        self.placement = placement_for(settings, self.config, ranks)
        model = build(settings, self.config, ranks, matrices, self.placement)
        if newest is None:
            initialise(model, settings.seed)
            if settings.start_from is not None:
                tokenizer = self.shards.header.tokenizer
                fill(model, start_weights(settings.start_from, self.config, tokenizer))
        self.fp8 = Fp8Watch(model, matrices, ranks)
        self.weights = choose(settings, model, ranks)
        self.pipeline = pipeline_of(settings, model, self.length)
        self.average = MovingAverage(self.weights.masters(), settings.average_decay) if settings.average_decay else None
        if newest is not None:
            self.resume(newest)
        elif settings.spikes == "rollback":
            self.save()  # something to go back to
        self._spikes = SpikeLog(Path(settings.output), self.loader.sequences_consumed) if ranks.leads else None

    def _require_spare_data(self) -> None:
        """Raises UserError where spikes are skipped or rolled back and the plan has an end: data could run out before
        the last step."""
        plan = self.settings.plan
        if self.settings.spikes != "stop" and plan is not None and not plan.phases[-1].endless:
            raise UserError(
                f"spikes '{self.settings.spikes}' needs spare sequences, but the last phase has a fixed length",
                where="phases",
                hint="leave the length of the last phase open",
            )

    @property
    def model(self) -> Transformer:
        """What computes."""
        return self.weights.model

    def _identity(self) -> dict[str, Any]:
        """What decides the numbers of a run: settings, dimensions, the plan, and which shards."""
        apart = FREE_TO_CHANGE | _IN_THE_PLAN
        identity = {key: value for key, value in asdict(self.settings).items() if key not in apart}
        identity["model"] = as_dictionary(self.config)
        identity["plan"] = self.settings.plan.to_values() if self.settings.plan else None
        return {**identity, "sequences": len(self.shards), "shards": self.shards.header.to_values()}

    def _tensors(self) -> dict[str, Tensor | Piece]:
        """All that a checkpoint holds of this rank, except torch's random state."""
        averages = self.average.tensors() if self.average else {}
        placed = {name: self.weights.placed(name.removeprefix("average."), tensor) for name, tensor in averages.items()}
        return {**self.weights.tensors(), **placed}

    def save(self) -> None:
        """Begins to write a checkpoint; the run may continue at once."""
        state = {
            "step": self.steps_done,
            "tokens": self.tokens,
            "positions": self.positions,
            "loader": self.loader.state(),
            "spikes": self.watch.state(),
            "world_size": self.ranks.world_size,
            "run": self._identity(),
        }
        random: dict[str, Tensor | Piece] = {f"random.{self.ranks.rank}": torch.get_rng_state()}
        self.checkpoints.save(self._tensors() | random, state)

    def resume(self, checkpoint: Path) -> None:
        """Resumes from a checkpoint of this run."""
        state = read_state(checkpoint)
        self._require_same(state["run"], checkpoint)
        random = torch.get_rng_state()
        # With another number of ranks, saved random states don't fit, and each rank keeps the one it was seeded with.
        same = state["world_size"] == self.ranks.world_size
        own: dict[str, Tensor | Piece] = {f"random.{self.ranks.rank}": random} if same else {}
        self.checkpoints.load(checkpoint, self._tensors() | own)
        torch.set_rng_state(random)
        self.weights.loaded(state["step"])
        self.steps_done, self.tokens, self.positions = state["step"], state["tokens"], state["positions"]
        self.loader.load_state(state["loader"])
        self.watch.load_state(state["spikes"])

    def _require_same(self, before: dict[str, Any], checkpoint: Path) -> None:
        now = self._identity()
        changed = sorted(key for key in now if before.get(key) != now[key])
        if changed:
            listed = ", ".join(f"{key} was {before.get(key)} and is {now[key]}" for key in changed)
            raise UserError(
                f"the run in this folder has other settings: {listed}",
                where=str(checkpoint),
                hint="train into another folder, or use the same settings",
            )

    def measures_after(self, step: int) -> bool:
        """Whether held-back losses are due after a step, and with them what is too long or too dear for every step."""
        return step == self.settings.steps or step % self.settings.evaluate_every == 0

    def step(self) -> dict[str, Any]:
        """One optimiser step; returns its metrics. Steps in which the loss spikes are taken as the policy says."""
        while True:
            now = schedule(self.schedule, self.positions, self.steps_done)
            self.fp8.count(self.measures_after(self.steps_done + 1))
            batches = self.loader.take(now.batch_sequences)
            sums = self._accumulate(batches, now)
            self.weights.reduce_gradients()
            norm = self.weights.clip_gradients(self.settings.clip)
            why = self.watch.judge(sums["loss"], norm)
            if why is None:
                return self._update(batches, now, sums, norm) | self.fp8.take()
            self._leave_out(batches, now, sums, norm, why)

    def _update(self, batches: list[Batch], now: Scheduled, sums: dict[str, float], norm: float) -> dict[str, Any]:
        """What follows the gradients of a step without a spike."""
        self.watch.accept(sums["loss"])
        self.weights.step(now.learning_rate)
        self.weights.zero_gradients()
        loads = self.take_loads()
        update_biases(self.model, loads[self.model.router_rows], now.bias_speed)
        if self.average:
            self.average.update()
        self.steps_done += 1
        self.positions += now.batch_sequences * self.length
        self.tokens_of_step = self._over_ranks(sum(int(batch.valid.sum()) for batch in batches))
        self.tokens += self.tokens_of_step
        uneven = violations(loads)
        return {
            "step": self.steps_done,
            "tokens": self.tokens,
            "sequences": self.loader.sequences_consumed,
            "batch_sequences": now.batch_sequences,
            **sums,
            "gradient_norm": norm,
            "learning_rate": now.learning_rate,
            "mtp_weight": now.mtp_weight,
            "bias_speed": now.bias_speed,
            "expert_max_violation": max(uneven, default=0.0),
            "expert_violations": uneven,
            "expert_loads": _shares(loads),
        }

    def take_loads(self) -> Tensor:
        """What the experts of each router received since this was last asked, of all ranks: int64 [R, E]."""
        config, here = self.config, take_loads(self.model)
        count = config.n_moe_layers + config.mtp_depth
        loads = torch.zeros(count, config.n_routed_experts if count else 0, dtype=torch.int64, device=self.ranks.device)
        loads[self.model.router_rows] = here.to(loads.device)
        return self.ranks.sum_(loads)

    def _leave_out(self, batches: list[Batch], now: Scheduled, sums: dict[str, float], norm: float, why: str) -> None:
        """What the policy says about a step whose loss is a spike, before the optimiser has seen it."""
        settings, consumed = self.settings, self.loader.sequences_consumed
        self.weights.zero_gradients()
        take_loads(self.model)
        self.fp8.forget()
        self.checkpoints.wait()
        checkpoint = self.checkpoints.latest()
        before = read_state(checkpoint) if checkpoint else None
        done = self.watch.answer(before["step"] if before else None)
        back_to = (before["step"], before["loader"]["sequences_consumed"]) if before and done == ROLLED_BACK else None
        named = sequence_losses(self.weights.model, batches, settings.document_mask, self.ranks)
        if self._spikes is not None:
            spike = spike_of(
                self.shards,
                named,
                step=self.steps_done + 1,
                loss=sums["loss"],
                norm=norm,
                why=why,
                done=done,
                positions=range(consumed - now.batch_sequences, consumed),
                back_to=back_to,
            )
            self._spikes.write(spike)
        if done == STOPPED:
            raise self.watch.error(why, self.steps_done + 1, settings.output)
        if checkpoint and back_to:
            self.resume(checkpoint)
            self.loader.sequences_consumed = consumed

    def _accumulate(self, batches: list[Batch], now: Scheduled) -> dict[str, float]:
        """Forward and backward of this rank's micro-batches; the losses of the whole batch."""
        settings = self.settings
        targets = max(1, self._over_ranks(sum(int(batch.learned[:, 1:].sum()) for batch in batches)))
        divisors = Divisors(targets, now.batch_sequences, now.mtp_weight, settings.balance_alpha)
        self.model.train()
        passes = self.weights.passes(len(batches))
        if self.pipeline is not None:
            sums = self.pipeline.accumulate(batches, passes, divisors)
        else:
            sums = self._pass(batches, passes, divisors)
        # A save that failed beside the training, and a wish to stop, end it on all ranks in the same step.
        signs = [float(self.checkpoints.failed), float(self.asked_to_stop)]
        ending = torch.tensor(signs, dtype=torch.float64, device=sums.device)
        main, mtp, balance, failures, wishes = self.ranks.sum_(torch.cat([sums, ending])).tolist()
        self.stopping = wishes > 0
        if failures:
            self.checkpoints.wait()
        return {
            "loss": main / targets,
            "mtp_loss": mtp / targets,
            "balance_loss": settings.balance_alpha * balance / now.batch_sequences,
        }

    def _pass(self, batches: list[Batch], passes: int, divisors: Divisors) -> Tensor:
        """The passes of a rank that has all layers: sums of main, MTP and balance loss.

        FP64, so that the sum over micro-batches does not depend on their number.
        """
        device = self.ranks.device
        sums = torch.zeros(3, dtype=torch.float64, device=device)
        for number in range(passes):
            batch = batches[number] if number < len(batches) else empty_batch(self.length)
            mask = document_mask(batch.segments).to(device) if self.settings.document_mask else None
            with self.weights.accumulating(last=number == passes - 1):
                learned = batch.learned.to(device)
                pass_losses = losses(self.model, batch.tokens.to(device), batch.valid.to(device), mask, learned)
                divisors.total(pass_losses).backward()
            sums += pass_losses.sums()
        return sums

    def _over_ranks(self, count: int) -> int:
        """The sum of what each part of a batch has; ranks of one pipeline have the same part."""
        return int(self.ranks.sum_(torch.tensor(count, dtype=torch.int64), "batch"))


def _shares(loads: Tensor) -> list[list[float]]:
    """Each expert's share of its router's choices."""
    shares = loads.double() / loads.sum(1, keepdim=True).clamp(min=1)
    return [[round(share, _SHARE_PLACES) for share in row] for row in shares.tolist()]
