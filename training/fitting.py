"""Whether a run fits into memory, asked before its model is built.

A model that does not fit takes the machine down with it: Linux ends processes, often others first. What is compared is
the least that a run takes: weights, gradients, moments and the moving average, without activations, against all memory
there is. A run that passes may still be too large; one that is refused certainly is.
"""

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.operating_system import has_gpu_driver
from corpusmill.training.layout import Layout, layout_of
from corpusmill.training.model.config import ModelConfig, parts
from corpusmill.training.model.memory import MemoryLayout, memory
from corpusmill.training.settings import TrainSettings


def least_bytes(config: ModelConfig, settings: TrainSettings, ranks: int) -> tuple[int, int]:
    """(bytes on the device, bytes in CPU memory beside it) that the fullest of the ranks needs at least."""
    parts_of = layout_of(settings, ranks)
    if not parts_of.only_data:
        return _least_of_a_part(config, settings, parts_of)
    layout = MemoryLayout(
        ranks=ranks,
        zero=int(ranks > 1),
        sequence_length=config.mtp_depth + 2,
        weights="float32" if settings.precision == "float32" else "bfloat16",
        fp8=settings.precision == "fp8",
        moments=settings.moments,
        average="float32" if settings.average_decay else None,
    )
    needed = memory(config, layout)
    built = needed.weights if settings.precision == "float32" else 2 * needed.weights  # in FP32, before it is narrowed
    whole = needed.weights + needed.gradients
    if settings.parallel == "fsdp2":
        whole = -(-whole // ranks)
    return max(built, whole + needed.master_weights + needed.moments), 2 * needed.average


def _least_of_a_part(config: ModelConfig, settings: TrainSettings, layout: Layout) -> tuple[int, int]:
    """The same where ranks have parts of the model: as if all of it were dealt evenly, which is the least."""
    counted = parts(config)
    layers = config.n_moe_layers + config.mtp_depth
    experts = layers * config.n_routed_experts * 3 * config.dim * config.moe_inter_dim
    every = sum(part.total for part in counted)
    here = (experts // layout.expert + every - experts) // layout.pipeline
    owned = here // layout.data
    weight = 4 if settings.precision == "float32" else 2
    master = 0 if settings.precision == "float32" else 4
    moment = 4 if settings.moments == "float32" else 2
    whole = here * (weight + 4) + owned * (master + 2 * moment)
    return max(here * (weight if weight == 4 else weight + 4), whole), 8 * owned if settings.average_decay else 0


def computes_on_cpu(settings: TrainSettings) -> bool:
    """Whether a run will use the CPU, as far as can be known without torch: "auto" is a GPU where there is a driver."""
    return settings.device == "cpu" or (settings.device == "auto" and not has_gpu_driver())


def require_memory(
    config: ModelConfig, settings: TrainSettings, ranks: int, ranks_here: int = 1, *, on_cpu: bool
) -> None:
    """Raises UserError for a model that this machine's memory cannot hold.

    Args:
        config: the model.
        settings: of the run.
        ranks: processes that train together.
        ranks_here: those of them that share this machine.
        on_cpu: the CPU computes; on a GPU only the moving average is in the machine's memory.
    """
    import psutil

    on_device, beside = least_bytes(config, settings, ranks)
    needed = on_device + beside if on_cpu else beside
    _require(needed * ranks_here, psutil.virtual_memory().total, "this machine")


def require_device_memory(config: ModelConfig, settings: TrainSettings, ranks: int, device_bytes: int) -> None:
    """The same for a GPU of so many bytes."""
    _require(least_bytes(config, settings, ranks)[0], device_bytes, "the GPU")


def _require(needed: int, there: int, where: str) -> None:
    if needed > there:
        what = f"this model needs at least {needed / 2**30:,.1f} GiB to train, and {where} has {there / 2**30:,.1f} GiB"
        hint = "choose a smaller preset or more ranks; `corpusmill train --describe PRESET` shows what takes memory"
        raise UserError(what, where="preset", hint=hint)
