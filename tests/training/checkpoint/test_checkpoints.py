import contextlib
import errno
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import corpusmill.training.checkpoint.checkpoints as checkpoint
import corpusmill.training.checkpoint.storage as storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import commits_only_while
from corpusmill.training.checkpoint.checkpoints import Checkpoints, read_state, read_tensors
from corpusmill.training.checkpoint.pieces import Piece
from corpusmill.training.checkpoint.verify import checkpoints_in, problems_of
from corpusmill.training.model.config import preset
from corpusmill.training.model.loss import losses
from corpusmill.training.model.transformer import Transformer, initialise
from corpusmill.training.optimizer import MOMENTS, make_optimizer, set_learning_rate
from corpusmill.training.parallel.ranks import ALONE, Ranks, join_ranks
from tests.training.two_processes import ROOT, run_ranks


def _trained() -> dict[str, torch.Tensor]:
    """All that a run keeps: a model of two steps, its moments, an average, moved router biases, random state."""
    torch.manual_seed(5)
    model = Transformer(preset("tiny"))
    initialise(model, 0)
    parameters = dict(model.named_parameters())
    optimizer = make_optimizer(parameters.values())
    set_learning_rate(optimizer, 1e-3)
    tokens = torch.arange(3, 35).unsqueeze(0)
    for _ in range(2):
        losses(model, tokens, tokens > 0).total(31, 1, 0.3, 1e-4).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.layers[1].ffn.gate.bias += 0.25
    moments = {
        f"{moment}.{name}": optimizer.state[parameter][moment]
        for moment in MOMENTS
        for name, parameter in parameters.items()
    }
    average = {f"average.{name}": parameter.detach() * 0.5 for name, parameter in parameters.items()}
    return {
        **{f"model.{name}": tensor for name, tensor in model.state_dict().items()},
        **moments,
        **average,
        "random.0": torch.get_rng_state(),
        "counts": torch.tensor([2**40, -3]),
        "scalar": torch.tensor(7, dtype=torch.int64),
        "rounded": torch.linspace(-2, 2, 7).to(torch.bfloat16),
        "none": torch.zeros(0, 4),
        "strided": torch.arange(12.0).reshape(3, 4).T,
    }


def _few(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {
        "model.a": torch.full((3, 2), float(value)),
        "model.b": torch.full((5,), int(value)),
        "exp_avg.a": torch.ones(2),
    }


def _save(folder: Path, step: int, keep: int = 2, keep_every: int = 0, tensors=None) -> Path:
    """A whole save, waited for; fails as the save does."""
    checkpoints = Checkpoints(folder, keep, keep_every)
    checkpoints.save(tensors or _few(step), {"step": step, "tokens": 7})
    checkpoints.wait()
    newest = checkpoints.latest()
    assert newest is not None
    return newest


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _empty_like(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


def test_everything_comes_back(tmp_path: Path):
    tensors = _trained()
    path = _save(tmp_path, 2, tensors=tensors)
    assert read_state(path) == {"step": 2, "tokens": 7}
    assert {"model.layers.1.ffn.gate.bias", "model.mtp.0.block.ffn.gate.bias"} <= tensors.keys()
    back = _empty_like(tensors)
    Checkpoints(tmp_path, 2).load(path, back)
    assert _equal(tensors, back)


def test_a_part_comes_back_by_its_prefix(tmp_path: Path):
    path = _save(tmp_path, 3)
    actual = read_tensors(path, "model.")
    assert _equal(actual, {"a": torch.full((3, 2), 3.0), "b": torch.full((5,), 3)})


def test_the_file_of_one_process_is_an_ordinary_one(tmp_path: Path):
    tensors = _trained()
    assert _equal(load_file(str(_save(tmp_path, 2, tensors=tensors) / "rank-00000.safetensors")), tensors)


def test_a_load_reads_into_parameters_in_place(tmp_path: Path):
    path = _save(tmp_path, 3)
    parameter = torch.nn.Parameter(torch.zeros(3, 2))
    memory = parameter.data_ptr()
    Checkpoints(tmp_path, 2).load(path, {"model.a": parameter})
    assert parameter.data_ptr() == memory and bool((parameter == 3).all()) and parameter.grad_fn is None


def test_bytes_follow_from_the_values(tmp_path: Path):
    one, other = (_save(tmp_path / name, 2, tensors=_trained()) for name in "ab")
    assert _names(one) == _names(other) == ["index.json", "rank-00000.safetensors", "state.json"]
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


def test_a_checkpoint_holds_no_pickle(tmp_path: Path):
    path = _save(tmp_path, 2)
    for file in path.iterdir():
        if file.suffix == ".safetensors":
            with safe_open(str(file), framework="pt") as opened:
                assert list(opened.keys()) and opened.metadata() == {"format": "pt"}
        else:
            assert file.suffix == ".json" and json.loads(file.read_bytes())
    assert (tmp_path / "latest").read_text() == path.name


def test_the_last_n_are_kept(tmp_path: Path):
    for step in (5, 10, 15, 20):
        _save(tmp_path, step, keep=2)
    assert _names(tmp_path) == ["latest", "step-000015", "step-000020"]
    _save(tmp_path, 25, keep=1)
    assert _names(tmp_path) == ["latest", "step-000025"]


def test_every_so_many_steps_one_stays_for_good(tmp_path: Path):
    for step in range(0, 60, 5):
        _save(tmp_path, step, keep=2, keep_every=20)
    assert _names(tmp_path) == ["latest", "step-000020", "step-000040", "step-000050", "step-000055"]


def test_steps_past_a_million_are_in_order(tmp_path: Path):
    for step in (999_999, 1_000_000, 1_000_001):
        _save(tmp_path, step, keep=2)
    assert _names(tmp_path) == ["latest", "step-1000000", "step-1000001"]


def test_a_step_that_is_saved_again_is_replaced(tmp_path: Path):
    for value in (1.0, 2.0, 3.0):
        path = _save(tmp_path, 5, tensors=_few(value))
        assert read_tensors(path, "model.")["a"][0, 0] == value
        assert _names(tmp_path) == ["latest", path.name]


def test_a_lower_step_that_is_saved_later_is_the_newest(tmp_path: Path):
    _save(tmp_path, 10, keep=1)
    assert _save(tmp_path, 5, keep=1).name == "step-000005"


def test_tensors_may_change_as_soon_as_a_save_has_begun(tmp_path: Path, monkeypatch):
    """The writing thread is held until the tensors have changed."""
    changed, real = threading.Event(), storage.write_tensors

    def waits(*arguments):
        assert changed.wait(20)
        real(*arguments)

    monkeypatch.setattr(storage, "write_tensors", waits)
    tensors, state = _trained(), {"step": 1, "spikes": [1]}
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    checkpoints = Checkpoints(tmp_path, 2)
    checkpoints.save(tensors, state)
    with torch.no_grad():
        for tensor in tensors.values():
            tensor.zero_()
    state["spikes"].append(2)
    assert checkpoints.latest() is None
    changed.set()
    checkpoints.wait()
    path = checkpoints.latest()
    assert read_state(path) == {"step": 1, "spikes": [1]}
    checkpoints.load(path, tensors)
    assert _equal(tensors, before)


def test_a_second_save_waits_for_the_first(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path, 3)
    for step in (1, 2, 3):
        checkpoints.save(_few(step), {"step": step})
    checkpoints.wait()
    assert _names(tmp_path) == ["latest", "step-000001", "step-000002", "step-000003"]
    for step in (1, 2, 3):
        assert read_tensors(tmp_path / f"step-00000{step}", "model.")["b"].tolist() == [step] * 5


OUTSIDE_CALLS = [
    (storage, "write_tensors"),
    (storage, "sync_path"),
    (storage, "_write_index"),
    (checkpoint, "sync_path"),
    (checkpoint, "commit_bytes"),
    (Path, "rename"),
    (Path, "write_bytes"),
    (Checkpoints, "_remove_old"),
    (shutil, "rmtree"),
]


@pytest.mark.parametrize("steps", [(5, 10), (5, 5)], ids=["another step", "the same step"])
@pytest.mark.parametrize("place,call", OUTSIDE_CALLS, ids=[name for _, name in OUTSIDE_CALLS])
def test_a_death_at_any_point_leaves_a_loadable_checkpoint(tmp_path: Path, monkeypatch, place, call, steps):
    """Each outside call of a save is cut off in turn, as a kill would; nothing may be tidied up afterwards."""
    for when in range(10):
        folder = tmp_path / str(when)
        _save(folder, steps[0], keep=1, tensors=_few(steps[0]))
        with monkeypatch.context() as patch, contextlib.suppress(_Death):
            _die_in_call(patch, place, call, when)
            _save(folder, steps[1], keep=1, tensors=_few(steps[1] + 1))
            assert when > 0, "the call is never made"
            break
        newest = Checkpoints(folder, 1).latest()
        assert newest is not None
        tensors = _empty_like(_few())
        Checkpoints(folder, 1).load(newest, tensors)
        assert {steps[0], steps[1] + 1} >= {int(tensors["model.a"][0, 0])} == {int(tensors["model.b"][0])}
        _save(folder, 15, keep=1)
        assert _names(folder) == ["latest", "step-000015"]
    else:
        raise AssertionError("no save got through")


class _Death(BaseException):
    pass


def _die_in_call(patch: pytest.MonkeyPatch, place: object, call: str, when: int) -> None:
    """The call number `when` of this function raises, and nothing that removes works from then on."""
    real, real_removal, count = getattr(place, call), shutil.rmtree, 0

    def dying(*arguments, **options):
        nonlocal count
        count += 1
        if count == when + 1:
            raise _Death
        return real(*arguments, **options)

    def removal(path, ignore_errors=False):
        if count <= when:
            (dying if call == "rmtree" else real_removal)(path, ignore_errors=ignore_errors)

    patch.setattr(place, call, dying)
    patch.setattr(shutil, "rmtree", removal)


SAVES_UNTIL_KILLED = """
import os, signal, sys, time
from pathlib import Path
import torch
from corpusmill.training.checkpoint.checkpoints import Checkpoints, read_state

def saves(folder):
    torch.set_num_threads(1)
    checkpoints = Checkpoints(folder, keep=2, keep_every=1000)
    newest = checkpoints.latest()
    step = read_state(newest)["step"] if newest else 0
    while True:
        step += 1
        tensors = {f"model.{number}": torch.full((1 + 999 * number,), step) for number in range(20)}
        checkpoints.save(tensors, {"step": step})

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        saves(Path(sys.argv[1]))
    time.sleep(float(line))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print("killed", flush=True)
"""


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path):
    """Processes that do nothing but save are ended by SIGKILL at random moments; each goes on from the one before."""
    moments, reached, cut_short = random.Random(7), [0], 0
    with subprocess.Popen(
        [sys.executable, "-c", SAVES_UNTIL_KILLED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as forking:
        for _ in range(8):
            forking.stdin.write(f"{moments.uniform(0.02, 0.2)}\n")
            forking.stdin.flush()
            assert forking.stdout.readline() == "killed\n"
            cut_short += any(name.startswith(".tmp-") for name in _names(tmp_path))
            newest = Checkpoints(tmp_path, 2).latest()
            if newest is None:
                continue
            for path in tmp_path.glob("step-*"):
                step, tensors = read_state(path)["step"], read_tensors(path, "model.")
                assert path.name == f"step-{step:06d}" and len(tensors) == 20
                assert all(bool((tensor == step).all()) for tensor in tensors.values())
            reached.append(read_state(newest)["step"])
        forking.stdin.close()
    assert reached == sorted(reached) and reached[-1] > 0 and cut_short


def test_a_trainer_whose_driver_is_gone_writes_no_checkpoint(tmp_path: Path):
    def check() -> None:
        raise UserError("another driver has taken over this output")

    with commits_only_while(check), pytest.raises(UserError, match="taken"):
        _save(tmp_path, 2)
    assert list(tmp_path.iterdir()) == []


def test_a_trainer_whose_driver_goes_while_it_writes_commits_no_checkpoint(tmp_path: Path, monkeypatch):
    gone, real = False, storage.write_tensors

    def goes(*arguments):
        nonlocal gone
        gone = True
        real(*arguments)

    def check() -> None:
        if gone:
            raise UserError("another driver has taken over this output")

    monkeypatch.setattr(storage, "write_tensors", goes)
    with commits_only_while(check), pytest.raises(UserError, match="taken"):
        _save(tmp_path, 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code,message", [(errno.ENOSPC, "no space left"), (errno.EIO, "could not be written")])
def test_what_the_disk_refuses_comes_out_of_wait_as_one_line(tmp_path: Path, monkeypatch, code: int, message: str):
    _save(tmp_path, 5)

    def fails(path: Path, *_):
        path.write_bytes(b"begun")
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(storage, "write_tensors", fails)
    checkpoints = Checkpoints(tmp_path, 2)
    checkpoints.save(_few(), {"step": 10})
    with pytest.raises(UserError, match=message) as raised:
        checkpoints.wait()
    assert raised.value.where == str(tmp_path)
    checkpoints.wait()
    checkpoints.save(_few(), {"step": 10})
    with pytest.raises(UserError, match=message):
        checkpoints.save(_few(), {"step": 15})
    assert _names(tmp_path) == ["latest", "step-000005"]


def test_a_bug_in_the_writing_keeps_its_type(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(storage, "write_tensors", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        _save(tmp_path, 5)


def test_no_checkpoint_yet(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", 2)
    assert checkpoints.latest() is None


def test_a_lost_checkpoint_is_named(tmp_path: Path):
    for name in ("step-000007", "../step-000007", ""):
        (tmp_path / "latest").write_text(name)
        with pytest.raises(UserError, match="latest"):
            Checkpoints(tmp_path, 2).latest()


@pytest.mark.parametrize(
    "change,message",
    [
        ({"model.c": torch.zeros(1)}, "another model: it has no 'model.c'"),
        ({"model.a": torch.zeros(2, 3)}, "'model.a' is [3, 2] there and [2, 3] here"),
        ({"model.a": torch.zeros(3, 2, dtype=torch.bfloat16)}, "'model.a' is torch.float32 there"),
    ],
)
def test_another_models_checkpoint_is_refused_before_anything_changes(tmp_path: Path, change, message: str):
    path = _save(tmp_path, 2)
    tensors = _empty_like(_few()) | change
    with pytest.raises(UserError) as raised:
        Checkpoints(tmp_path, 2).load(path, tensors)
    assert message in str(raised.value) and "\n" not in str(raised.value)
    assert not any(bool(tensor.any()) for tensor in tensors.values())


def test_damaged_files_are_refused_in_one_line(tmp_path: Path):
    whole = _save(tmp_path, 2)
    damages = {
        "rank-00000.safetensors": [lambda data: data[:-1], lambda data: data[:20], lambda data: None],
        "index.json": [lambda data: data[:-9], lambda data: b"[]", lambda data: b'{"files": {}}', lambda data: None],
    }
    for name, changes in damages.items():
        data = (whole / name).read_bytes()
        for change in changes:
            (whole / name).unlink()
            if (left := change(data)) is not None:
                (whole / name).write_bytes(left)
            with pytest.raises(UserError, match=name.replace(".", r"\.")) as raised:
                Checkpoints(tmp_path, 2).load(whole, _empty_like(_few()))
            assert "\n" not in str(raised.value)
            (whole / name).write_bytes(data)
    data = bytearray((whole / "rank-00000.safetensors").read_bytes())
    data[8:20] = b"#" * 12
    (whole / "rank-00000.safetensors").write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        Checkpoints(tmp_path, 2).load(whole, _empty_like(_few()))
    (whole / "state.json").write_text("{")
    with pytest.raises(UserError, match=r"state\.json"):
        read_state(whole)


def test_a_flipped_bit_is_noticed_on_load_and_by_verify(tmp_path: Path):
    older, path = _save(tmp_path, 1), _save(tmp_path, 2)
    assert list(problems_of(path)) == []
    file = path / "rank-00000.safetensors"
    data = bytearray(file.read_bytes())
    data[-9] ^= 0x40
    file.write_bytes(data)
    with pytest.raises(UserError, match=f"is damaged: its bytes.*write {older.name} into the file 'latest'"):
        Checkpoints(tmp_path, 2).load(path, _empty_like(_few()))
    ((where, what),) = problems_of(path)
    assert where == str(file) and "is damaged" in what
    assert checkpoints_in(tmp_path) == [] and checkpoints_in(path) == [path]


@pytest.mark.parametrize("damaged", [b"", b"[]", b"{}", b'{"step": "x"}', b"\xff\xfe", b'{"step":' + b"[" * 100_000])
def test_a_damaged_state_is_one_line_that_offers_the_checkpoint_before(tmp_path: Path, damaged: bytes):
    older, path = _save(tmp_path, 1), _save(tmp_path, 2)
    whole = (path / "state.json").read_bytes()
    for data in (damaged, whole.replace(b'"tokens": 7', b'"tokens": 8')):
        (path / "state.json").write_bytes(data)
        with pytest.raises(UserError, match=rf"state\.json: .*damaged; .*write {older.name} into") as raised:
            read_state(path)
        assert "\n" not in str(raised.value)
        assert [where for where, _ in problems_of(path)] == [str(path / "state.json")]


def test_rows_that_a_rank_has_come_back_from_the_whole_tensor(tmp_path: Path):
    whole = torch.arange(24.0).reshape(6, 4)
    path = _save(tmp_path, 1, tensors={"model.a": whole, "model.b": torch.ones(2)})
    piece = Piece(torch.zeros(3, 4), (6, 4), 2)
    Checkpoints(tmp_path, 2).load(path, {"model.a": piece})
    assert torch.equal(piece.values, whole[2:5])
    with pytest.raises(UserError, match=r"'model.a' is \[6, 4\] there and \[7, 4\] here"):
        Checkpoints(tmp_path, 2).load(path, {"model.a": Piece(torch.zeros(3, 4), (7, 4), 2)})


def test_a_save_that_failed_is_known_before_the_next(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(storage, "write_tensors", _no_space)
    checkpoints = Checkpoints(tmp_path, 2)
    checkpoints.save(_few(), {"step": 1})
    deadline = time.monotonic() + 20
    while not checkpoints.failed and time.monotonic() < deadline:
        time.sleep(0.001)
    with pytest.raises(UserError, match="no space"):
        checkpoints.wait()
    assert not checkpoints.failed


def _tensors_of(ranks: Ranks) -> dict[str, torch.Tensor]:
    """What a rank holds in a test: tensors of one owner, tensors of all, and pieces; alone, all of it whole."""
    generator = torch.Generator().manual_seed(3)
    whole = {f"model.owned.{number}": torch.rand(4, 3, generator=generator) for number in range(5)}
    whole |= {f"model.bias.{number}": torch.rand(6, generator=generator) for number in range(3)}
    pieces = {"rows": (7, 4), "columns": (4, 7), "single": (1, 3), "replicated": (2, 2)}
    whole |= {f"model.{name}": torch.rand(shape, generator=generator) for name, shape in pieces.items()}
    if ranks.alone:
        return whole
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (ranks.world_size,))
    placements = {"rows": Shard(0), "columns": Shard(1), "single": Shard(0), "replicated": Replicate()}
    contents = {}
    for name, tensor in whole.items():
        kind, _, number = name.removeprefix("model.").partition(".")
        if kind in placements:
            contents[name] = distribute_tensor(tensor, mesh, [placements[kind]])
        elif kind == "bias" or int(number) % ranks.world_size == ranks.rank:
            contents[name] = tensor
    return contents | {f"random.{ranks.rank}": torch.full((16,), ranks.rank, dtype=torch.uint8)}


def _local(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: getattr(tensor, "to_local", lambda tensor=tensor: tensor)() for name, tensor in tensors.items()}


def _fill_and_compare(checkpoints: Checkpoints, path: Path, tensors: dict[str, torch.Tensor]) -> bool:
    expected = {name: tensor.clone() for name, tensor in _local(tensors).items()}
    for tensor in tensors.values():
        tensor.zero_()
    checkpoints.load(path, tensors)
    return _equal(_local(tensors), expected)


def _two_ranks(alone: str, together: str) -> dict:
    """On each of two ranks: fills what it holds from a checkpoint of one, saves, and fills it from that."""
    from torch.distributed.tensor import Replicate, Shard

    actual: dict = {}
    with join_ranks("cpu") as ranks:
        contents = _tensors_of(ranks)
        random_state = contents.pop(f"random.{ranks.rank}")
        checkpoints = Checkpoints(Path(together), keep=3, ranks=ranks)
        actual["from one"] = _fill_and_compare(checkpoints, Path(alone), contents)
        everything = contents | {f"random.{ranks.rank}": random_state}
        checkpoints.save(everything, {"step": 1, "rank": ranks.rank})
        ranks.sum_(torch.ones(3))  # training goes on meanwhile
        saved = {name: tensor.clone() for name, tensor in everything.items()}
        for tensor in everything.values():
            tensor.zero_()
        checkpoints.save(saved, {"step": 2, "rank": ranks.rank})
        checkpoints.wait()
        first = Path(together) / "step-000001"
        actual["from two"] = _fill_and_compare(checkpoints, first, saved)
        turned = {
            name: saved[name].redistribute(placements=[placement])
            for name, placement in {"model.rows": Shard(1), "model.columns": Replicate()}.items()
        }
        actual["turned"] = _fill_and_compare(checkpoints, first, turned)
        actual["missing"] = _message(
            lambda: checkpoints.load(first, {"model.lost": torch.zeros(1)} if ranks.leads else {})
        )
        real = storage.write_tensors
        if not ranks.leads:
            storage.write_tensors = _no_space
        checkpoints.save(saved, {"step": 3})
        actual["full"] = _message(checkpoints.wait)
        storage.write_tensors = real
        ranks.barrier()
        actual["left"] = _names(Path(together))
    return actual


def _no_space(*_) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _message(action) -> str:
    try:
        action()
    except UserError as error:
        return str(error)
    return "nothing"


@pytest.mark.slow
def test_a_checkpoint_of_one_process_loads_on_two_and_the_other_way_round(tmp_path: Path):
    whole = _tensors_of(ALONE)
    alone = _save(tmp_path / "alone", 1, tensors=whole)
    first, second = run_ranks(
        2, "tests.training.checkpoint.test_checkpoints:_two_ranks", str(alone), str(tmp_path / "together"), timeout=100
    )
    for actual in (first, second):
        assert actual["from one"] and actual["from two"] and actual["turned"]
        assert "no space left" in actual["full"]
        assert actual["left"] == ["latest", "step-000001", "step-000002"]
    assert "it has no 'model.lost'" in first["missing"] and "another rank" in second["missing"]

    path = Checkpoints(tmp_path / "together", 2).latest()
    assert path is not None and read_state(path) == {"step": 2, "rank": 0}
    files = ["rank-00000.safetensors", "rank-00001.safetensors"]
    assert _names(path) == ["index.json", *files, "state.json"]
    assert _fill_and_compare(Checkpoints(tmp_path, 2), path, _tensors_of(ALONE))
    assert _equal({f"model.{name}": tensor for name, tensor in read_tensors(path, "model.").items()}, whole)
    assert [int(read_tensors(path, "random.")[rank][0]) for rank in "01"] == [0, 1]
    for name in ("index.json", *files):
        assert (path / name).read_bytes() == (path.with_name("step-000001") / name).read_bytes()
    # What both hold is written once; the second piece of a single row is empty, but a piece.
    contents = [set(load_file(str(path / file))) for file in files]
    assert contents[0] & contents[1] == {"model.rows", "model.columns", "model.single"}
    assert contents[0] | contents[1] == {*whole, "random.0", "random.1"}

    (path / files[1]).unlink()
    with pytest.raises(UserError, match="rank-00001"):
        read_tensors(path, "model.")
