"""`corpusmill doctor`: what this machine has, and what is missing, one line each."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from corpusmill.pipelines.cli.apps import command_app

HELP = """Versions, cores, memory, disk, GPU, kernel cache and whether a Ray cluster answers.

Example: corpusmill doctor --address 127.0.0.1:6379"""

LIBRARIES = (
    "pyarrow", "numpy", "numba", "xxhash", "zstandard", "datasketch", "tokenizers", "pydantic", "typer", "fsspec",
)  # fmt: skip
EXTRAS = {
    "jinja2": "report",
    "fastwarc": "web",
    "resiliparse": "web",
    "ray": "ray",
    "torch": "train",
    "safetensors": "train",
    "fasttext-numpy2-wheel": "fasttext",
    "matplotlib": "report",
}


def app_for(name: str) -> typer.Typer:
    """The typer application of the command."""
    return command_app(_doctor, HELP)


def _doctor(
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to check; RAY_ADDRESS if left out", metavar="HOST:PORT")
    ] = None,
) -> None:
    failed = False
    for what, line, good in [*_machine(), *_libraries(), *_kernels(), *_gpu(), *_ray(address)]:
        failed |= not good
        print(f"{'ok ' if good else 'BAD'}  {what:<14} {line}")
    raise typer.Exit(1 if failed else 0)


def _machine() -> list[tuple[str, str, bool]]:
    import psutil

    from corpusmill.pipelines.engine.executor import available_cores
    from corpusmill.pipelines.engine.stage import our_version

    memory = psutil.virtual_memory()
    free = psutil.disk_usage(".").free
    return [
        ("corpusmill", our_version(), True),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", True),
        ("cores", f"{available_cores()}", True),
        (
            "memory",
            f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB free",
            memory.available > 2**30,
        ),
        ("disk", f"{free / 2**30:.1f} GiB free here", free > 2**30),
    ]


def _libraries() -> list[tuple[str, str, bool]]:
    lines = []
    for name in (*LIBRARIES, *EXTRAS):
        try:
            lines.append((name, version(name), True))
        except PackageNotFoundError:
            extra = EXTRAS.get(name)
            hint = f"pip install 'corpusmill[{extra}]'" if extra else "reinstall corpusmill"
            lines.append((name, f"not installed: {hint}", extra is not None))
    return lines


def _kernels() -> list[tuple[str, str, bool]]:
    from corpusmill.pipelines import kernels

    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    if kernels.is_compiled():
        return [("kernel cache", f"compiled; {folder}", True)]
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        return [("kernel cache", f"{there} is not writable; set CORPUSMILL_CACHE to another folder", False)]
    return [("kernel cache", f"not compiled yet (the first stage that needs them compiles them); {folder}", True)]


def _gpu() -> list[tuple[str, str, bool]]:
    try:
        import torch
    except ImportError:
        return [("gpu", "unknown without torch", True)]
    if not torch.cuda.is_available():
        return [("gpu", "none; training runs on the CPU", True)]
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return [("gpu", ", ".join(names), True)]


def _ray(address: str | None) -> list[tuple[str, str, bool]]:
    target = address or os.environ.get("RAY_ADDRESS")
    if not target:
        return [("ray cluster", "none configured; --engine ray starts its own", True)]
    try:
        import ray

        from corpusmill.pipelines.engine.ray import check_reachable

        check_reachable(target)
        ray.init(address=target, log_to_driver=False, logging_level="ERROR")
        cpus = ray.cluster_resources().get("CPU", 0)
        ray.shutdown()
    except Exception as error:  # whatever Ray says is what the user needs to read
        return [("ray cluster", f"{target}: {' '.join(str(error).split())[:200]}", False)]
    return [("ray cluster", f"{target}: {cpus:g} CPUs", True)]
