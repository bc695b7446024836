"""A layout: how many GPUs there are, and what is split over them.

Of `gpus` ranks, each `pipeline` of them hold the model once; pipelines are data-parallel. Within a stage, `expert`
neighbouring ranks share the routed experts out, and `context` of them share each sequence's tokens. Everything else is
whole on each rank of a stage, but for the optimiser's state, which ZeRO-1 shares out (section 3.2 of V3's report).
Written as `gpus=2048,pipeline=16,expert=64,schedule=dualpipe`; what is left out is searched for, or has its default.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from corpusmill.dataproc.errors import UserError
from corpusmill.training.model.dimensions import ModelConfig
from corpusmill.training.simulate.schedules import Schedule, schedule_named

RECOMPUTE = ("selective", "no", "layers")


@dataclass(frozen=True)
class Layout:
    """What is split over how many ranks. Raises UserError for one that cannot be."""

    gpus: int
    """Ranks, one a GPU."""
    pipeline: int = 1
    """Ranks that layers are split over, P."""
    expert: int = 1
    """Ranks that a layer's routed experts are split over."""
    context: int = 1
    """Ranks that the tokens of one sequence are split over; they are among the data-parallel ones."""
    schedule: str = "1f1b"
    """One of `SCHEDULES`."""
    micro_batch: int = 1
    """Sequences of a chunk."""
    precision: str = "fp8"
    """fp8 or bfloat16: what layers multiply in; masters are FP32, moments BF16."""
    recompute: str = "selective"
    """What the backward pass computes again: no, selective (norms, MLA's up-projections, SwiGLU) or layers (each layer
    as a whole, its exchange included; this trainer cannot yet)."""

    def __post_init__(self) -> None:
        def require(law: bool, what: str, hint: str) -> None:
            if not law:
                raise UserError(what, where="layout", hint=hint)

        for name in ("gpus", "pipeline", "expert", "context", "micro_batch"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}", "give a positive number")
        require(self.precision in ("fp8", "bfloat16"), f"precision is '{self.precision}'", "choose fp8 or bfloat16")
        require(
            self.recompute in RECOMPUTE, f"recompute is '{self.recompute}'", f"choose one of {', '.join(RECOMPUTE)}"
        )
        require(
            self.gpus % self.pipeline == 0, f"pipeline {self.pipeline} does not divide gpus {self.gpus}", "change one"
        )
        for name in ("expert", "context"):
            require(
                self.stage_ranks % getattr(self, name) == 0,
                f"{name} {getattr(self, name)} does not divide the {self.stage_ranks} ranks of a stage",
                f"change gpus, pipeline or {name}",
            )
        if self.pipeline > 1:
            schedule_named(self.schedule)

    @property
    def stage_ranks(self) -> int:
        """Ranks that hold the same layers: gpus over pipeline."""
        return self.gpus // self.pipeline

    @property
    def pipelines(self) -> int:
        """Groups of ranks that work on sequences of their own."""
        return self.stage_ranks // self.context

    @property
    def plan(self) -> Schedule:
        """The schedule of its pipeline; one rank alone has nothing to schedule."""
        return schedule_named(self.schedule if self.pipeline > 1 else "1f1b")

    @property
    def stages(self) -> int:
        """Into how many the model is cut."""
        return self.pipeline * self.plan.stages_a_rank

    def micro_batches(self, batch_sequences: int) -> int:
        """Chunks of one step that each stage has. Raises UserError for a batch that cannot be cut so."""
        a_chunk = self.pipelines * self.micro_batch
        if batch_sequences % a_chunk:
            raise UserError(
                f"a batch of {batch_sequences:,} sequences is not a multiple of {self.pipelines} pipelines "
                f"x {self.micro_batch}",
                where="layout",
                hint="change batch_sequences, or the layout",
            )
        return batch_sequences // a_chunk

    def check(self, config: ModelConfig, sequence_length: int, batch_sequences: int) -> None:
        """Raises UserError for a model or a batch that the layout does not suit."""
        if config.n_routed_experts % self.expert:
            what = f"{config.n_routed_experts} experts cannot be divided among {self.expert} ranks"
            raise UserError(what, where="layout", hint="choose a divisor")
        if self.stages > config.n_layers:
            what = f"{config.n_layers} layers are fewer than {self.stages} stages"
            raise UserError(what, where="layout", hint="give fewer pipeline ranks")
        if sequence_length % self.context:
            what = f"sequences of {sequence_length} tokens cannot be cut into {self.context} parts"
            raise UserError(what, where="layout", hint="choose a divisor")
        self.plan.check(self.pipeline, self.micro_batches(batch_sequences))

    @property
    def text(self) -> str:
        """PP16 DualPipe, EP64, DP128, 1 x fp8: in a table."""
        parts = [f"PP{self.pipeline} {self.plan.title}" if self.pipeline > 1 else "PP1", f"EP{self.expert}"]
        parts += [f"CP{self.context}"] if self.context > 1 else []
        parts += [f"DP{self.pipelines}", f"{self.micro_batch} x {self.precision}"]
        return ", ".join([*parts, *([f"recompute {self.recompute}"] if self.recompute != "no" else [])])


V3_REPORT = Layout(gpus=2048, pipeline=16, expert=64, schedule="dualpipe")
"""Section 3.1 and 3.2: PP16 with DualPipe, EP64 over 8 nodes, ZeRO-1, no tensor parallelism."""

NAMED = {
    "v3-report": V3_REPORT,
    "v3-report-32k": Layout(gpus=2048, pipeline=16, expert=64, context=8, schedule="dualpipe"),
    "v3-report-128k": Layout(gpus=2048, pipeline=16, expert=64, context=32, schedule="dualpipe"),
}
"""The report says nothing of a layout for its longer sequences; the two that cut them into pieces of 4,096 tokens are
ours, so that a chunk is as large as in pre-training."""


def layout_values(text: str) -> dict[str, object]:
    """The fields that a layout's text gives: `v3-report`, `2048`, or `gpus=2048,pipeline=16`. Raises UserError."""
    if text in NAMED:
        return {field.name: getattr(NAMED[text], field.name) for field in fields(Layout)}
    if text.isdecimal():
        return {"gpus": int(text)}
    kinds: Mapping[str, type] = {field.name: type(field.default) for field in fields(Layout)} | {"gpus": int}
    values: dict[str, object] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name not in kinds:
            hint = f"give gpus=N and {', '.join(list(kinds)[1:])} as NAME=VALUE, or one of {', '.join(NAMED)}"
            raise UserError(f"'{part.strip()}' is not a field of a layout", where="layout", hint=hint)
        values[name] = _value(name, value, kinds[name])
    if "gpus" not in values:
        raise UserError("the layout has no gpus", where="layout", hint="give gpus=N")
    return values


def _value(name: str, text: str, kind: type) -> object:
    if kind is int and text.isdecimal():
        return int(text)
    if kind is str:
        return text
    raise UserError(f"{name} is '{text}'", where="layout", hint="give a whole number")
