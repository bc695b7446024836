"""The process that reads damaged files: one case after the other, until it is ended. Run by `tests.fuzz.hunt`.

It prints the number of each case before it begins, and what it raised; what it cannot say, by a crash or a hang, the
number says. A case is a function of family and number alone.
"""

import hashlib
import random
import shutil
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines import kernels
from tests.fuzz.families import FAMILIES
from tests.fuzz.mutations import mutate


class Cases:
    """The cases of a family, made below a folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.family, self.folder = name, FAMILIES[name], folder
        (folder / "seeds").mkdir()
        self.seeds = sorted(self.family.seeds(folder / "seeds").items())

    def make(self, number: int) -> tuple[Path, str]:
        """(folder, name of the damaged file) of a case; the same bytes whenever it is made."""
        digest = hashlib.sha256(f"{self.name} {number}".encode()).digest()
        draw = random.Random(int.from_bytes(digest[:8], "big"))
        _, files = self.seeds[number % len(self.seeds)]
        name = draw.choice(sorted(files))
        case = self.folder / f"case-{number}"
        _write(case, {**files, name: mutate(files[name], draw)})
        return case, name

    def check(self, folder: Path, name: str) -> str:
        """What is wrong with how a case was taken; empty for nothing."""
        try:
            self.family.check(folder, name)
        except UserError as error:
            return "" if "\n" not in str(error) else f"an error of more than one line: {error!r}"
        except Exception:
            return traceback.format_exc()
        return ""


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def main() -> None:
    """`python -m tests.fuzz.child FAMILY FIRST STEP`: cases from FIRST on, in steps, until the pipe is closed."""
    name, first, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    kernels.configure()
    with tempfile.TemporaryDirectory(prefix="corpusmill-fuzz-") as folder:
        cases = Cases(name, Path(folder))
        number = first
        while True:
            print(f"case {number}", flush=True)
            case, damaged = cases.make(number)
            if problem := cases.check(case, damaged):
                print("\n".join(f"fault {line}" for line in problem.splitlines()), flush=True)
            shutil.rmtree(case, ignore_errors=True)
            number += step


if __name__ == "__main__":
    main()
