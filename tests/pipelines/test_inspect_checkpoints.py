"""`inspect verify` over checkpoints of training."""

from pathlib import Path

import pytest
import torch

from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.verify import verify
from corpusmill.training.checkpoint.checkpoints import Checkpoints


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two checkpoints of a run."""
    checkpoints = Checkpoints(tmp_path / "checkpoints", 2)
    for step in (1, 2):
        checkpoints.save({"model.a": torch.full((30, 4), float(step)), "model.b": torch.ones(3)}, {"step": step})
    checkpoints.wait()
    return tmp_path / "checkpoints"


def test_whole_checkpoints_have_no_problems_and_are_counted(folder: Path):
    (done,) = verify(recognise(str(folder)))
    assert done.problems == [] and done.files == 6 and done.bytes > 2 * 4 * 123
    (one,) = verify(recognise(str(folder / "step-000002")))
    assert one.files == 3


@pytest.mark.parametrize(
    "file,what",
    [
        ("rank-00000.safetensors", "the tensor 'model.a' is damaged"),
        ("state.json", "the state of the checkpoint is damaged"),
        ("index.json", "the index is damaged"),
    ],
)
def test_a_byte_that_changed_is_named_with_its_file(folder: Path, file: str, what: str):
    path = folder / "step-000001" / file
    data = bytearray(path.read_bytes())
    place = -20 if file.endswith("safetensors") else 5
    data[place] ^= 0x10
    path.write_bytes(data)
    (done,) = verify(recognise(str(folder)))
    assert [where for where, _ in done.problems] == [str(path)]
    assert what in done.problems[0][1]
