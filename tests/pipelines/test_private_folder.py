"""The kernel cache is this user's alone: what numba loads from it runs as code."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.private_folder import make_private, require_private


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o720, 0o702])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(UserError, match="others can write to the kernel cache"):
        require_private(tmp_path)


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o750, 0o500])
def test_a_folder_that_only_its_owner_can_write_to_is_taken(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    require_private(tmp_path)
    tmp_path.chmod(0o700)


def test_another_owner_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(UserError, match="belongs to another user"):
        require_private(tmp_path)


def test_a_shared_folder_needs_its_sticky_bit(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    require_private(tmp_path, shared=True)
    with pytest.raises(UserError):
        require_private(tmp_path)
    tmp_path.chmod(0o777)
    with pytest.raises(UserError):
        require_private(tmp_path, shared=True)


def test_new_folders_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_private(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")] == [0o700, 0o700]
    make_private(tmp_path / "a" / "b")


def test_a_command_ends_in_one_line_before_numba_looks_there(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    environment = {**os.environ, "CORPUSMILL_CACHE": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-m", "corpusmill", "inspect", "show", "nothing"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "others can write to the kernel cache (mode 777)" in done.stderr
    assert list(tmp_path.iterdir()) == []
