"""Code blocks of a page of the documents, run in order as a reader would: one script a page, in a folder of its own.

Blocks of Python run in one process, blocks of shell by bash, and a block of YAML with a title becomes the file of that
name. What a reader has to put in (an address, a shared folder) and what a test cannot afford (a large vocabulary) is
replaced in the text, by pairs that the test lists.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.pipelines.road import environment

BLOCK = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def code_blocks(page: Path) -> list[tuple[str, str, str]]:
    """(language, title, text) of each fenced block."""
    return BLOCK.findall(page.read_text())


def script_of(page: Path, replaced: Mapping[str, str] = {}) -> str:
    """One Python script that does what the page's blocks do. Raises ValueError for a block that nobody would run."""
    lines = ["import pathlib, subprocess"]
    for language, title, text in code_blocks(page):
        for written, instead in replaced.items():
            title, text = title.replace(written, instead), text.replace(written, instead)
        if language == "python":
            lines.append(text)
        elif language == "sh":
            lines.append(f"subprocess.run(['bash', '-euo', 'pipefail', '-c', {text!r}], check=True)")
        elif title:
            lines.append(f"pathlib.Path({title!r}).write_text({text!r})")
        else:
            raise ValueError(f"{page.name}: a block of '{language}' that is not run: {text[:60]!r}")
    return "\n".join(lines)


def path_with_commands() -> str:
    """PATH with this environment's `corpusmill` and `ray` before others."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def run_script(script: str, folder: Path, timeout: float = 300, **more: str) -> str:
    """Runs a script in a folder with our commands on its path; what it printed. Fails with its output."""
    path = folder / "page.py"
    path.write_text(script)
    done = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(PATH=path_with_commands(), **more),
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout
