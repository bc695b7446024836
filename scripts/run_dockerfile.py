"""Runs the steps of a Dockerfile in a clean folder, where no container can be run: are they right, one after the other?

    python scripts/run_dockerfile.py Dockerfile FOLDER [--arg NAME=VALUE] [--python PYTHON]

What a step would write below / it writes below FOLDER: `/opt` and `/home` in its text stand for folders in there. FROM
is this machine, with `python` as the Python given; steps of the distribution and of users (`apt-get`, `useradd`, USER)
are printed and passed over. ENV and ARG are environment variables of the steps behind them, and nothing else of this
process's environment is but what pip and a proxy need. Stops at the first step that fails.
"""

import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

KEPT = ("PIP_", "SSL_", "LANG", "HTTP", "http", "HTTPS", "https", "NO_PROXY", "no_proxy", "PYTHONPATH", "CORPUSMILL_")
PASSED_OVER = ("apt-get", "useradd")
ROOTS = ("/opt", "/home")


def steps_of(text: str) -> list[tuple[str, str]]:
    """(instruction, the rest of its line) of a Dockerfile, comments left out and lines that go on joined."""
    lines = re.sub(r"\\\n", " ", text).splitlines()
    words = [line.split(maxsplit=1) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return [(first.upper(), rest[0] if rest else "") for first, *rest in words]


class Clean:
    """A folder that stands for /, and the environment that the steps have so far."""

    def __init__(self, folder: Path, context: Path, python: str, given: dict[str, str]) -> None:
        self.folder, self.context, self.given = folder, context, given
        kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
        (folder / "python").mkdir(parents=True)
        for name in ("python", "python3"):
            (folder / "python" / name).symlink_to(shutil.which(python) or python)
        self.environment = kept | {"PATH": f"{folder / 'python'}:/usr/bin:/bin", "HOME": str(folder / "home")}
        self.place = folder

    def inside(self, text: str) -> str:
        """A text whose paths below / lie in the folder."""
        for root in ROOTS:
            text = re.sub(rf"(?<![\w/.]){root}(?=/|\b)", f"{self.folder}{root}", text)
        return text

    def expanded(self, text: str) -> str:
        """A text with its variables filled in."""
        return re.sub(r"\$\{?(\w+)\}?", lambda match: self.environment.get(match[1], ""), text)

    def run(self, instruction: str, rest: str) -> int:
        """Runs a step; gives its exit code."""
        if instruction in ("FROM", "USER", "CMD") or (instruction == "RUN" and rest.startswith(PASSED_OVER)):
            return 0
        if instruction in ("ENV", "ARG"):
            name, _, value = rest.partition("=")
            value = self.given.get(name, value) if instruction == "ARG" else value
            self.environment[name] = self.inside(self.expanded(value))
        elif instruction == "COPY":
            *sources, target = rest.split()
            folder = Path(self.inside(target))
            folder.mkdir(parents=True, exist_ok=True)
            for source in sources:
                names = glob.glob(str(self.context / source))  # noqa: PTH207 - the pattern may have a folder in it
                if not names:
                    print(f"COPY: no file matches {source}")
                    return 1
                for name in names:
                    shutil.copy(name, folder)
        elif instruction == "WORKDIR":
            self.place = self.folder / rest.lstrip("/")
            self.place.mkdir(parents=True, exist_ok=True)
        elif instruction == "RUN":
            command = ["bash", "-c", self.inside(rest)]
            return subprocess.run(command, env=self.environment, cwd=self.place, check=False).returncode
        else:
            print(f"an instruction that is not known here: {instruction}")
            return 1
        return 0


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dockerfile", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arg", action="append", default=[], help="NAME=VALUE of an ARG")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--context", type=Path, help="the folder that COPY copies from; the Dockerfile's if left out")
    values = parser.parse_args()
    given = dict(text.partition("=")[::2] for text in values.arg)
    folder, context = values.folder.absolute(), values.context or values.dockerfile.absolute().parent
    clean = Clean(folder, context, values.python, given)
    for instruction, rest in steps_of(values.dockerfile.read_text()):
        print(f"{instruction} {rest}", flush=True)
        if code := clean.run(instruction, rest):
            sys.exit(f"{instruction} {rest}: exit code {code}")


if __name__ == "__main__":
    main()
