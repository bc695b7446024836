"""A trained model that learns on: weights in FP32, AdamW, router biases, and checkpoints to resume from.

What GRPO and reward models have in common. A step is `backward` of losses that were divided by the whole batch's
counts, then `update`. Checkpoints are those of training (`training/checkpoint/`), with the same names of tensors, so
that whatever reads a checkpoint of a training run reads these: `model generate`, `model evaluate`, a run to start.

Everything random is keyed by the step's number, so the state is tensors by name and that number: a run that was killed
goes on bit for bit from its last checkpoint, on the same machine with as many threads. One process; FP32 alone.

Memory: 16 bytes a parameter, and 12 more while a checkpoint is written.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import commit_bytes, commit_file
from corpusmill.training.checkpoint.checkpoints import MODEL_FILE, Checkpoints, json_bytes, read_state
from corpusmill.training.checkpoint.tensor_files import Planned, write_into
from corpusmill.training.generation.weights import Trained, open_trained
from corpusmill.training.huggingface.folder import CONFIG_FILE
from corpusmill.training.model.config import ModelConfig, as_dictionary
from corpusmill.training.model.moe import take_loads, update_biases, violations
from corpusmill.training.model.transformer import Transformer
from corpusmill.training.optimizer import make_optimizer, moments_by_name, set_learning_rate, set_steps


class Learner:
    """A model in training.

    Args:
        start: folder of the weights that it begins with.
        output: folder of its own.
        identity: what decides the numbers of the run; JSON-able. A checkpoint of another identity is refused.
        weight_decay: of matrices.
        keep: how many checkpoints stay.
        device: where it computes.
        further: what makes parameters beside the model's, by name, for its dimensions.

    Raises:
        UserError: for a folder that has no weights, and for a checkpoint of other settings.
    """

    def __init__(
        self,
        start: str | Path,
        output: str | Path,
        identity: Mapping[str, Any],
        *,
        weight_decay: float,
        keep: int,
        device: torch.device,
        further: Mapping[str, Callable[[ModelConfig], Tensor]] | None = None,
    ) -> None:
        self.trained: Trained = open_trained(start, device=device)
        self.model: Transformer = self.trained.model
        self.output = Path(output)
        self.further = {
            name: make(self.trained.config).to(device).requires_grad_() for name, make in (further or {}).items()
        }
        self.model.requires_grad_(True)
        self._parameters = {**dict(self.model.named_parameters()), **self.further}
        self._optimizer = make_optimizer(self._parameters.values(), weight_decay)
        self._identity = {
            **identity,
            "model": as_dictionary(self.trained.config),
            "shards": dict(self.trained.shards),
            "huggingface": dict(self.trained.extra),
        }
        self.checkpoints = Checkpoints(self.output / "checkpoints", keep)
        self.steps_done = 0
        if (newest := self.checkpoints.latest()) is not None:
            self._resume(newest)

    def update(self, learning_rate: float, clip: float) -> float:
        """Moves the weights by the gradients, and forgets these; the gradient's global norm before clipping."""
        parameters = list(self._parameters.values())
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip).item()
        set_learning_rate(self._optimizer, learning_rate)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return norm

    def end_step(self, bias_speed: float) -> float:
        """Moves the routers' biases by what experts received in the step; the busiest expert's excess load."""
        loads = take_loads(self.model)
        update_biases(self.model, loads, bias_speed)
        self.steps_done += 1
        return max(violations(loads), default=0.0)

    def _tensors(self) -> dict[str, Tensor]:
        """All that a checkpoint holds: live."""
        model = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        further = {f"further.{name}": tensor.data for name, tensor in self.further.items()}
        return {**model, **further, **moments_by_name(self._optimizer, self._parameters)}

    def save(self) -> None:
        """Begins to write a checkpoint; the run may continue at once."""
        self.checkpoints.save(self._tensors(), {"step": self.steps_done, "run": self._identity})

    def _resume(self, checkpoint: Path) -> None:
        before = read_state(checkpoint)
        changed = sorted(name for name, value in self._identity.items() if before["run"].get(name) != value)
        if changed:
            what = f"the run in this folder was made with another {', '.join(changed)}"
            raise UserError(what, str(checkpoint), "train into another folder, or use the same settings")
        self.checkpoints.load(checkpoint, self._tensors())
        self.steps_done = int(before["step"])
        set_steps(self._optimizer, self.steps_done * int(self._identity.get("updates", 1)))

    def write_results(self, further_file: str = "") -> None:
        """Writes the weights and their description, as a finished training run does.

        Args:
            further_file: name of the file that the further parameters go to; "" where there are none.
        """
        self._write(MODEL_FILE, self.model.state_dict())
        if further_file:
            self._write(further_file, {name: tensor.data for name, tensor in self.further.items()})
        described = {name: self._identity[name] for name in ("model", "shards", "huggingface") if self._identity[name]}
        commit_bytes(str(self.output / CONFIG_FILE), json_bytes(described))

    def _write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        here = {key: tensors[key].detach().cpu() for key in sorted(tensors)}
        with commit_file(str(self.output / name)) as file:
            write_into(
                file, [Planned(key, value.dtype, tuple(value.shape)) for key, value in here.items()], here.__getitem__
            )
