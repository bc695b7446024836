"""Times the main job as a newcomer meets it: cold kernel cache, warm, and run again when all is done.

    python benchmarks/quickstart.py [--engine ray]

Prints wall seconds, the compile time that the command itself tells, and the peak resident memory of the process tree.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from stage_rates import peak_memory


def run(output: Path, cache: Path, options: list[str]) -> tuple[float, int, str]:
    """(seconds, peak bytes, everything that was printed)."""
    environment = {**os.environ, "CORPUSMILL_CACHE": str(cache)}
    environment.pop("NUMBA_CACHE_DIR", None)
    line = [sys.executable, "-m", "corpusmill", "quickstart", "--output", str(output), *options]
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT, env=environment)
        peak = [0]
        watcher = threading.Thread(target=peak_memory, args=(process, peak))
        watcher.start()
        code = process.wait()
        seconds = time.monotonic() - started
        watcher.join()
        log.seek(0)
        text = log.read()
    if code:
        raise SystemExit(f"{' '.join(line)} ended with {code}\n{text}")
    return seconds, peak[0], text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["local", "ray"], default="local")
    engine = ["--engine", parser.parse_args().engine]
    folder = Path(tempfile.mkdtemp(prefix="quickstart-"))
    cache = folder / "cache"
    try:
        cold, cold_peak, text = run(folder / "cold", cache, engine)
        compiled = re.search(r"compiled kernels in ([\d.]+) s", text)
        print(f"cold   {cold:6.1f} s, {cold_peak / 1e6:,.0f} MB; kernels compiled in {compiled and compiled[1]} s")
        warm, warm_peak, text = run(folder / "warm", cache, engine)
        print(f"warm   {warm:6.1f} s, {warm_peak / 1e6:,.0f} MB")
        again, again_peak, _ = run(folder / "warm", cache, engine)
        print(f"again  {again:6.2f} s, {again_peak / 1e6:,.0f} MB")
        print(text)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
