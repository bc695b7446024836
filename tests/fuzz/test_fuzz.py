"""The hunt itself: it finds what is planted, the same cases come again, and a short one finds nothing."""

import random
from pathlib import Path

import pytest

from corpusmill.dataproc.errors import UserError
from tests.fuzz import child
from tests.fuzz.child import Cases
from tests.fuzz.families import FAMILIES, Family
from tests.fuzz.hunt import Hunted, hunt, keep, kind_of
from tests.fuzz.mutations import mutate

SECONDS, CASES = 2, 250
"""For each family; the same cases every time."""


def test_the_same_case_is_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        folder, damaged = Cases("recipes", tmp_path / name).make(17)
        made.append((damaged, (folder / damaged).read_bytes()))
    assert made[0] == made[1]


def test_mutations_change_bytes_and_take_any() -> None:
    data = bytes(range(200))
    damaged = [mutate(data, random.Random(number)) for number in range(200)]
    assert sum(one != data for one in damaged) > 190
    assert all(isinstance(mutate(b"", random.Random(number)), bytes) for number in range(200))


def test_a_fault_is_kept_as_a_file_and_a_test_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(folder: Path, name: str) -> None:
        raise (ZeroDivisionError("a fault") if b"\x00" in (folder / name).read_bytes() else UserError("a line"))

    monkeypatch.setitem(child.FAMILIES, "planted", Family(seeds=lambda folder: {"s": {"a.bin": b"abc"}}, check=check))
    (tmp_path / "work").mkdir()
    cases = Cases("planted", tmp_path / "work")
    problems = {number: cases.check(*cases.make(number)) for number in range(200)}
    faults = {number: text for number, text in problems.items() if text}
    assert 0 < len(faults) < 200
    number = min(faults)
    hunted = Hunted("planted", cases=200, faults={kind_of(faults[number]): (number, faults[number])})
    (folder,) = keep(hunted, tmp_path / "kept")
    assert b"\x00" in (folder / "a.bin").read_bytes()
    test = compile((folder / "test_fault.py").read_text(), str(folder / "test_fault.py"), "exec")
    names: dict[str, object] = {"__file__": str(folder / "test_fault.py")}
    exec(test, names)
    with pytest.raises(ZeroDivisionError):
        names[f"test_case_{number}_of_planted"]()  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_short_hunt_finds_nothing(family: str) -> None:
    hunted = hunt(family, SECONDS, most=CASES)
    assert hunted.cases > 10
    assert {kind: text for kind, (_, text) in hunted.faults.items()} == {}
