"""lm-evaluation-harness over our own forward pass: tasks on a run or a checkpoint, without an export.

A task is named as the harness knows it, which downloads its data, or is a YAML file in the harness' own format. Paths
of `data_files` in such a file are meant from where it lies, so a task and its data are a folder that can be moved, and
nothing is downloaded. `examples/tasks/` has some. Files that name Python code (`!function`) are refused: a task from
elsewhere would run it.

Text is scored as the harness does it: a continuation is what encoding context and continuation together adds to the
context's ids, a document is predicted by `training/watching/document_loss.py`, whose windows are the harness'.

Cost: a forward pass over all requests; generations as `pipelines/generation.py`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from corpusmill.dataproc.errors import UserError, require_extra

if TYPE_CHECKING:
    from corpusmill.pipelines.generation import TextGenerator

_ENDINGS = (".yaml", ".yml")
_NEW_TOKENS = 64
"""Most new tokens where a task doesn't say."""


def run_tasks(writer: "TextGenerator", tasks: Sequence[str], limit: int | None = None) -> dict[str, dict[str, Any]]:
    """Numbers by task and metric.

    Args:
        writer: the model and its tokenizer.
        tasks: names that the harness knows, or YAML files.
        limit: at most so many items of each task.

    Raises UserError where the harness is not installed, and for a task that is not known or can't be read.
    """
    try:
        from lm_eval import simple_evaluate
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise require_extra(error.name or "lm_eval", "eval") from error
    wanted = [read_task(task) if task.endswith(_ENDINGS) else task for task in tasks]
    names = [task for task in wanted if isinstance(task, str)]
    manager = TaskManager()
    if unknown := sorted(set(names) - set(manager.all_tasks)):
        raise UserError(f"the harness knows no task '{unknown[0]}'", hint="name a YAML file, or one of its tasks")
    model = _model_of(writer)
    made = simple_evaluate(model, tasks=wanted, limit=limit, task_manager=manager, bootstrap_iters=0)
    assert made is not None, "there is one rank"
    return {
        task: {name.removesuffix(",none"): value for name, value in numbers.items() if isinstance(value, int | float)}
        for task, numbers in made["results"].items()
    }


def read_task(path: str) -> dict[str, Any]:
    """A task's YAML file, its data files made absolute. Raises UserError for what is none, or names code."""
    try:
        task = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("can't be read", where=path, hint="name a task's YAML file") from error
    except yaml.YAMLError as error:
        hint = "a task that names Python code (!function) is not run; write it with templates"
        raise UserError("not plain YAML", where=path, hint=hint) from error
    if not isinstance(task, dict) or not isinstance(task.get("task"), str):
        raise UserError("this is no task: it has no name", where=path, hint="give it a key 'task'")
    files = (task.get("dataset_kwargs") or {}).get("data_files")
    if files is not None:
        task["dataset_kwargs"]["data_files"] = _beside(Path(path).absolute().parent, files)
    return task


def _beside(folder: Path, files: Any) -> Any:
    """Local paths from a folder on; URLs stay."""
    if isinstance(files, Mapping):
        return {split: _beside(folder, named) for split, named in files.items()}
    if isinstance(files, list):
        return [_beside(folder, named) for named in files]
    return files if "://" in str(files) else str(folder / str(files))


def _model_of(writer: "TextGenerator") -> Any:
    """The model as the harness wants it. Its class is made here, because its base is of an optional library."""
    from lm_eval.api.model import TemplateLM

    from corpusmill.training.watching.document_loss import continuation_nats, document_nats

    class OurModel(TemplateLM):  # type: ignore[misc]
        """Answers requests by the forward pass of the training, and by decoding from latents."""

        tokenizer_name = writer.tokenizer.fingerprint

        @property
        def eot_token_id(self) -> int:
            return writer.tokenizer.special.eos

        @property
        def prefix_token_id(self) -> int:
            return writer.prefix

        def tok_encode(self, string: str, **_: Any) -> list[int]:
            return writer.tokenizer.encode(string)

        def _loglikelihood_tokens(self, requests: list[Any], **_: Any) -> list[tuple[float, bool]]:
            pairs = [(context, following) for _, context, following in requests]
            nats, greedy = continuation_nats(writer.trained.model, pairs, writer.length)
            return [(-float(number), bool(same)) for number, same in zip(nats, greedy, strict=True)]

        def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
            documents = [np.array(writer.tokenizer.encode(request.args[0]), np.int64) for request in requests]
            return (-document_nats(writer.trained.model, documents, writer.prefix, writer.length)).tolist()

        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            return [_written(writer, *request.args) for request in requests]

    return OurModel()


def _written(writer: "TextGenerator", context: str, how: Mapping[str, Any]) -> str:
    """What the model writes after a context, up to the first of the texts that end it."""
    until = how.get("until") or []
    until = [until] if isinstance(until, str) else until
    temperature = float(how.get("temperature") or 0.0) if how.get("do_sample") else 0.0
    most = int(how.get("max_gen_toks", _NEW_TOKENS))
    text = ""
    for piece in writer.stream([context], most_tokens=most, temperature=temperature):
        text += piece.text
        ends = [text.find(end) for end in until if end and end in text]
        if ends:
            return text[: min(ends)]
    return text
