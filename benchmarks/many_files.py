"""Plans an ingest of very many tiny files: `python benchmarks/many_files.py [FILES] [FOLDER]`, a million by default.

Prints seconds of processor time for making the files, for their identities (the first listing), and for the tasks.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from corpusmill.pipelines.stages.ingest.plan import IngestStage
from corpusmill.pipelines.stages.ingest.settings import IngestSettings

FILES_A_FOLDER = 1000


def make_files(folder: Path, count: int) -> None:
    """So many files of 12 bytes, a thousand in each folder."""
    for number in range(count):
        inner = folder / f"{number // FILES_A_FOLDER:05d}"
        if number % FILES_A_FOLDER == 0:
            inner.mkdir(parents=True)
        handle = os.open(inner / f"{number % FILES_A_FOLDER:03d}.txt", os.O_WRONLY | os.O_CREAT)
        os.write(handle, b"hello world\n")
        os.close(handle)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as name:
        folder = Path(name) / "files"
        stage = IngestStage(IngestSettings(inputs=(str(folder),)))
        for what, step in (
            ("made", lambda: make_files(folder, count)),
            ("identities", stage.inputs),
            ("tasks", stage.tasks),
        ):
            started = time.process_time()
            step()
            print(f"{what}: {time.process_time() - started:.1f} s for {count:,} files")


if __name__ == "__main__":
    main()
