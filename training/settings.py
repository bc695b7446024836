"""The settings of a training run: one frozen dataclass, in which each is declared once, and what suits each preset.

A field's annotation says everything about it: its type (words to choose from as a Literal), its bounds
(`annotated_types`, which need no pydantic), and by `Setting` what it means, whether a stopped run may go on with
another value, and whether it is too rare for a flag. The checks here, the command's flags, the keys of a recipe and
what a checkpoint's settings are compared by all follow from these.

Does not import torch, so the command line can offer these settings as options without waiting for it. Two runs with
equal settings over equal shards, on one machine, leave equal bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

from corpusmill.dataproc.errors import UserError
from corpusmill.training.order.plan import Plan

Moments = Literal["float32", "bfloat16"]
Precision = Literal["float32", "bfloat16", "fp8"]
Fp8Backend = Literal["auto", "reference", "emulated", "triton", "cublas", "deepgemm"]


@dataclass(frozen=True)
class Setting:
    """What a field of the settings says of itself, besides its type and bounds.

    Attributes:
        description: for `--help` and the documentation, with the unit.
        may_change: whether a stopped run may be resumed with another value, because the setting says how the run is
            carried out and not what it learns (or how it gets past a spike).
        recipe_only: whether it has no flag, being rarely changed.
    """

    description: str
    may_change: bool = False
    recipe_only: bool = False


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one run. Raises UserError for values out of bounds, or that contradict each other."""

    shards: Annotated[str, Setting("a folder of token shards", may_change=True)]
    """Held-back ones are in its `_validation/`."""
    output: Annotated[str, Setting("folder of the run: weights, metrics, summary, checkpoints", may_change=True)]
    preset: Annotated[str, Setting("model shape; --describe NAME shows what it costs")] = "laptop"
    """See `training.model.config.PRESETS`."""
    model: Annotated[Mapping[str, int | float], Setting("other values for fields of the preset")] = field(
        default_factory=dict
    )
    """`vocab_size` follows the shards unless it is given."""
    start_from: Annotated[
        str | None, Setting("a finished run, imported model or checkpoint whose weights it starts from")
    ] = None
    """With a new optimiser; None: random weights."""
    steps: Annotated[int, Setting("optimiser steps"), Ge(1)] = 300
    batch_sequences: Annotated[int, Setting("sequences in a step, over all ranks"), Ge(1)] = 8
    micro_batch: Annotated[int, Setting("most sequences in one forward pass on a rank", may_change=True), Ge(1)] = 8
    """It need not divide a rank's share of the batch: the last pass of a step is then smaller, and the numbers are
    those of any other division but for rounding."""
    first_batch_sequences: Annotated[
        int | None, Setting("sequences in the first step, from which the batch grows"), Ge(1)
    ] = None
    """None: the batch is whole from the start."""
    batch_ramp_tokens: Annotated[int, Setting("tokens over which the batch grows"), Ge(0)] = 0
    """Linearly in tokens consumed (V3: 3,072 to 15,360 sequences over 469 B)."""
    mixture: Annotated[
        Mapping[str, float],
        Setting("weights, in sequences, of the groups made by 'pack --group-by'; if left out, all are shuffled as one"),
    ] = field(default_factory=dict)
    """Groups that are not named are left out. Empty: all shuffled as one, or in phases every group by its number of
    sequences."""
    phases: Annotated[
        Sequence[Mapping[str, Any]], Setting("stretches of the run, each with its own mixture", recipe_only=True)
    ] = ()
    """As {"tokens": …, "mixture": …}: without a mixture it is the run's, and the last may be without tokens. Tokens
    are places of sequences, padding included."""
    document_mask: Annotated[bool, Setting("hide documents in the same sequence from each other")] = False
    """V3's pre-training does not."""
    learning_rate: Annotated[float, Setting("peak learning rate"), Gt(0)] = 1e-3
    final_learning_rate: Annotated[float, Setting("learning rate at the end of the decay"), Ge(0)] = 1e-4
    last_learning_rate: Annotated[float | None, Setting("learning rate of a last phase after the decay"), Ge(0)] = None
    """V3: 7.3e-6; None: there is no such phase."""
    last_fraction: Annotated[float, Setting("part of the run, at its end, at that rate"), Ge(0), Le(1)] = 0.0
    last_tokens: Annotated[
        int | None, Setting("tokens after which that rate holds, instead of last_fraction"), Ge(0)
    ] = None
    """V3: 14.633 T."""
    warmup_steps: Annotated[int, Setting("steps of linear warm-up"), Ge(0)] = 20
    constant_fraction: Annotated[float, Setting("part of the run at the peak rate"), Ge(0), Le(1)] = 0.6
    constant_tokens: Annotated[
        int | None, Setting("tokens up to which the rate is at its peak, instead of constant_fraction"), Ge(0)
    ] = None
    """V3: 10 T."""
    decayed_fraction: Annotated[
        float, Setting("part after which the decay has ended", recipe_only=True), Ge(0), Le(1)
    ] = 1.0
    """The cosine lies between the two."""
    decayed_tokens: Annotated[
        int | None, Setting("tokens after which the decay has ended, instead of decayed_fraction"), Ge(0)
    ] = None
    """V3: 14.3 T."""
    weight_decay: Annotated[float, Setting("AdamW's decay of matrices", recipe_only=True), Ge(0)] = 0.1
    clip: Annotated[float, Setting("largest global gradient norm", recipe_only=True), Gt(0)] = 1.0
    mtp_weight: Annotated[float, Setting("weight of the multi-token-prediction loss at the peak rate"), Ge(0)] = 0.3
    late_mtp_weight: Annotated[float, Setting("the same during and after the decay", recipe_only=True), Ge(0)] = 0.1
    mtp_tokens: Annotated[
        int | None,
        Setting("tokens after which late_mtp_weight holds; if left out, from the decay on", recipe_only=True),
        Ge(0),
    ] = None
    balance_alpha: Annotated[float, Setting("factor of the sequence-wise balance loss", recipe_only=True), Ge(0)] = 1e-4
    bias_speed: Annotated[
        float, Setting("step of the routers' biases after each optimiser step", recipe_only=True), Ge(0)
    ] = 1e-3
    bias_tokens: Annotated[
        int | None,
        Setting("tokens after which the biases stand still; if left out, when the decay has ended", recipe_only=True),
        Ge(0),
    ] = None
    precision: Annotated[Precision, Setting("what the model computes in; masters are float32")] = "float32"
    """"bfloat16" has FP32 master weights, gradients summed in FP32, and router, losses and norms' sums in FP32; "fp8"
    is that with products of layers in FP8 (`training/fp8/policy.py`), and BF16 moments unless others are asked for."""
    fp8_backend: Annotated[
        Fp8Backend, Setting("what multiplies in precision fp8", may_change=True, recipe_only=True)
    ] = "auto"
    """See `training/fp8/backend.py`."""
    fp8_scales: Annotated[Literal["float32", "power_of_two"], Setting("scales of FP8 numbers", recipe_only=True)] = (
        "float32"
    )
    fp8_gradient_groups: Annotated[
        Literal["tiles", "blocks"],
        Setting("what has one scale in FP8 gradients: tiles of 1 x 128 or blocks of 128 x 128", recipe_only=True),
    ] = "tiles"
    """"blocks" is the report's negative result (appendix B.2): it diverged at 16 B parameters and 300 B tokens."""
    moments: Annotated[Moments, Setting("what AdamW's moments are kept in")] = "float32"
    """Section 3.3.3 for "bfloat16"."""
    recompute: Annotated[
        bool, Setting("compute norms, MLA's up-projections and SwiGLU again instead of keeping them", may_change=True)
    ] = False
    parallel: Annotated[
        Literal["zero1", "fsdp2"],
        Setting("what is split over ranks: optimiser state, or weights and gradients as well", may_change=True),
    ] = "zero1"
    """"zero1" has whole weights and gradients on each rank and optimiser state in parts (section 3.1)."""
    expert_ranks: Annotated[
        int, Setting("ranks that the experts of each layer are divided among", may_change=True), Ge(1)
    ] = 1
    """Tokens travel to their experts. The batch is cut over these ranks, too."""
    expert_nodes: Annotated[
        int, Setting("machines that the expert ranks are on; a token crosses between two once", may_change=True), Ge(1)
    ] = 1
    """Section 3.2.2: with expert groups a token reaches at most `n_limited_groups` of them."""
    expert_chunk: Annotated[
        int,
        Setting(
            "rows sent to a rank at a time on the way to experts; 0: measured at the start",
            may_change=True,
            recipe_only=True,
        ),
        Ge(0),
    ] = 0
    """Any number gives the same results."""
    pipeline_ranks: Annotated[int, Setting("ranks that the layers are divided among", may_change=True), Ge(1)] = 1
    pipeline_schedule: Annotated[
        Literal["dualpipev", "zbv", "1f1b"], Setting("order of micro-batches in a pipeline", may_change=True)
    ] = "dualpipev"
    """The first two have two stages a rank, with embedding and head on the same one."""
    threads: Annotated[int, Setting("CPU threads of each rank", may_change=True), Ge(1)] = 2
    """Another number may change the last bits of every result."""
    device: Annotated[
        Literal["auto", "cpu", "cuda"], Setting("where to compute; auto is CUDA if there is a GPU", may_change=True)
    ] = "auto"
    average_decay: Annotated[float, Setting("decay of a moving average of the weights; 0 is none"), Ge(0), Lt(1)] = 0.0
    """EMA, section 3.2.3, in CPU memory."""
    spikes: Annotated[
        Literal["stop", "skip", "rollback"], Setting("what to do when the loss spikes", may_change=True)
    ] = "stop"
    """"stop" (only for losses that are not finite), "skip" (its step changes nothing) or "rollback" (to the last
    checkpoint, and on behind the data that led there)."""
    spike_deviations: Annotated[
        float,
        Setting("standard deviations above the mean that count as a spike", may_change=True, recipe_only=True),
        Gt(0),
    ] = 6.0
    """Mean and deviation are those of the last `spike_window` losses."""
    spike_window: Annotated[
        int, Setting("number of recent losses that a spike is judged against", may_change=True, recipe_only=True), Ge(2)
    ] = 64
    """The first so many losses of a run are never spikes."""
    checkpoint_every: Annotated[int, Setting("steps between checkpoints", may_change=True), Ge(1)] = 100
    """The last step always writes one."""
    keep_checkpoints: Annotated[int, Setting("how many of the newest checkpoints to keep", may_change=True), Ge(1)] = 2
    keep_every: Annotated[
        int, Setting("steps between checkpoints that are kept for good; 0 is none", may_change=True), Ge(0)
    ] = 0
    evaluate_every: Annotated[int, Setting("steps between validations", may_change=True), Ge(1)] = 100
    """The last step always makes one."""
    evaluation_sequences: Annotated[int, Setting("held-back sequences to measure", may_change=True), Ge(1)] = 64
    evaluate_average: Annotated[bool, Setting("also measure the moving average", may_change=True)] = False
    tensorboard: Annotated[bool, Setting("also write metrics for TensorBoard", may_change=True)] = False
    """To `tensorboard/` beside the run's timing."""
    peak_teraflops: Annotated[
        float | None,
        Setting("peak of the device in 10^12 operations a second, for MFU", may_change=True, recipe_only=True),
        Gt(0),
    ] = None
    """None: known for some GPUs in BF16."""
    seed: Annotated[int, Setting("of initial weights and of the order of sequences"), Ge(0)] = 0

    def __post_init__(self) -> None:
        check_settings(self)

        def require(law: bool, what: str, hint: str) -> None:
            if not law:
                raise UserError(what, where=WHERE, hint=hint)

        require(
            self.constant_fraction <= self.decayed_fraction or self._marks_in_tokens,
            "constant_fraction ends after decayed_fraction",
            "give fractions with constant_fraction <= decayed_fraction",
        )
        require(
            self.constant_tokens is None or self.decayed_tokens is None or self.constant_tokens <= self.decayed_tokens,
            "constant_tokens ends after decayed_tokens",
            "give tokens with constant_tokens <= decayed_tokens",
        )
        for name, given in (("last_fraction", self.last_fraction > 0), ("last_tokens", self.last_tokens is not None)):
            require(
                not given or self.last_learning_rate is not None,
                f"{name} has no last_learning_rate",
                "give both or none",
            )
        first = self.first_batch_sequences
        require(
            first is None or first <= self.batch_sequences,
            f"first_batch_sequences is {first}",
            "give a positive number, at most batch_sequences",
        )
        require(
            (first is None) == (self.batch_ramp_tokens == 0),
            "first_batch_sequences and batch_ramp_tokens go together",
            "give both or none",
        )
        require(
            not self.evaluate_average or self.average_decay > 0,
            "evaluate_average without an average",
            "give average_decay",
        )
        Plan.of(self.mixture, self.phases)  # raises for a mixture or phases that make no sense

    @property
    def _marks_in_tokens(self) -> bool:
        """Whether a mark of the learning rate is in tokens; only with the length of a sequence can all be compared."""
        return self.constant_tokens is not None or self.decayed_tokens is not None

    @property
    def plan(self) -> Plan | None:
        """What mixture and phases ask for; None when they ask for nothing."""
        return Plan.of(self.mixture, self.phases)


WHERE = "training settings"


@dataclass(frozen=True)
class DescribedSetting:
    """A field as everybody but the trainer sees it: its type without None, its bounds, and what it says of itself."""

    kind: Any
    optional: bool
    bounds: tuple[Any, ...]
    setting: Setting


@cache
def described_settings(kind: Any = TrainSettings) -> dict[str, DescribedSetting]:
    """All settings by name, in order, of a dataclass whose fields are annotated with a `Setting`."""
    hints = get_type_hints(kind, include_extras=True)
    described = {}
    for name in kind.__dataclass_fields__:
        annotation, *metadata = get_args(hints[name])
        (setting,) = (extra for extra in metadata if isinstance(extra, Setting))
        bounds = tuple(extra for extra in metadata if not isinstance(extra, Setting))
        kinds = [annotation]
        if get_origin(annotation) in (Union, UnionType):
            kinds = [part for part in get_args(annotation) if part is not type(None)]
        described[name] = DescribedSetting(kinds[0], len(kinds) < len(get_args(annotation) or kinds), bounds, setting)
    return described


def changeable_settings(kind: Any = TrainSettings) -> frozenset[str]:
    """Settings that may change when a stopped run is resumed."""
    return frozenset(name for name, about in described_settings(kind).items() if about.setting.may_change)


def check_settings(settings: Any) -> None:
    """Raises UserError for a field out of its bounds, or that is not one of the words to choose from."""
    kind: Any = type(settings)
    for name, about in described_settings(kind).items():
        _check(name, getattr(settings, name), about)


def _check(name: str, value: Any, about: DescribedSetting) -> None:
    """Raises UserError for a value that is out of bounds or not one of the words to choose from."""
    if value is None and about.optional:
        return
    if get_origin(about.kind) is Literal and value not in get_args(about.kind):
        words = ", ".join(get_args(about.kind))
        raise UserError(f"{name} is '{value}'", where=WHERE, hint=f"choose one of {words}")
    for bound in about.bounds:
        if not _keeps(value, bound):
            raise UserError(f"{name} is {value}", where=WHERE, hint=f"give {_in_words(bound)}")


def _keeps(value: Any, bound: Any) -> bool:
    match bound:
        case Ge():
            return bool(value >= bound.ge)
        case Gt():
            return bool(value > bound.gt)
        case Le():
            return bool(value <= bound.le)
        case Lt():
            return bool(value < bound.lt)
    raise TypeError(f"no check for {bound}")


def _in_words(bound: Any) -> str:
    match bound:
        case Ge():
            return f"{bound.ge} or more"
        case Gt():
            return f"more than {bound.gt}"
        case Le():
            return f"at most {bound.le}"
        case Lt():
            return f"less than {bound.lt}"
    raise TypeError(f"no words for {bound}")


RECIPES: dict[str, dict[str, Any]] = {
    # 300 steps of 16,384 tokens, for text of many languages (docs/training.md has the curve). What a step learns
    # depends on its batch more than on the rate: after 100 steps batches of 2, 8 and 32 were at 3.71, 3.25 and 2.58
    # bits a byte, while at 8 rates of 1e-3 and 2e-3 were 0.02 apart. At V3's bias speed of 0.001 all tokens went to
    # four of sixteen experts up to step 40 or so; at 0.01 loads were nearly even (violation 0.5) by step 60.
    "laptop": {
        "steps": 300,
        "batch_sequences": 32,
        "micro_batch": 8,
        "learning_rate": 3e-3,
        "final_learning_rate": 3e-4,
        "warmup_steps": 20,
        "bias_speed": 0.01,
    },
    # 100 steps of 1,024 tokens. For about the same tokens, batches of 4 ended 0.14 nats higher and batches of 1 0.06; a
    # rate of 0.01 ended 0.17 higher. So few steps need fast router biases: at V3's 0.001 a few experts ended up with
    # most tokens (violation 2.2 of at most 3; 0.5 at 0.02).
    "quickstart": {
        "steps": 100,
        "batch_sequences": 2,
        "micro_batch": 2,
        "learning_rate": 6e-3,
        "final_learning_rate": 3e-4,
        "warmup_steps": 10,
        "constant_fraction": 0.3,
        "bias_speed": 0.02,
        "evaluate_every": 50,
        "checkpoint_every": 50,
    },
}
"""Settings that suit a preset, where they differ from the defaults."""

V3_PEAK = 2.2e-4
"""Learning rate of V3's pre-training at its peak (section 4.2)."""
SFT_PEAK, SFT_END, SFT_EPOCHS = 5e-6, 1e-6, 2.0
"""Of its fine-tuning (section 5.1)."""
AS_V3 = frozenset(("v3-671b", "v3-slice"))


def sft_settings(preset: str) -> dict[str, Any]:
    """Supervised fine-tuning as section 5.1 has it: a cosine from the peak to the end, conversations hidden from each
    other.

    The rates are V3's share of its pre-training's peak (1/44 and 1/220) of the preset's own. What the report does not
    say stands as pre-training ended: MTP's weight, and routers' biases that no longer move.
    """
    defaults = {name: field.default for name, field in TrainSettings.__dataclass_fields__.items()}
    usual = V3_PEAK if preset in AS_V3 else RECIPES.get(preset, {}).get("learning_rate", defaults["learning_rate"])
    return {
        "learning_rate": usual * SFT_PEAK / V3_PEAK,
        "final_learning_rate": usual * SFT_END / V3_PEAK,
        "warmup_steps": 0,
        "constant_fraction": 0.0,
        "mtp_weight": defaults["late_mtp_weight"],
        "bias_speed": 0.0,
        "document_mask": True,
    }


OF_PRECISION: dict[str, dict[str, Any]] = {"fp8": {"moments": "bfloat16"}}
"""Settings that belong to a precision."""


def settings_for(preset: str, shards: str, output: str, *, sft: bool = False, **chosen: Any) -> TrainSettings:
    """Settings for a preset: its recipe, what belongs to the precision and to fine-tuning, and over all of them what
    the caller chose."""
    usual = RECIPES.get(preset, {}) | OF_PRECISION.get(chosen.get("precision", "float32"), {})
    usual |= sft_settings(preset) if sft else {}
    return TrainSettings(shards=shards, output=output, preset=preset, **{**usual, **chosen})
