"""`corpusmill doctor`: what this machine has, and what is missing, one line each."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from corpusmill.pipelines.cli.apps import command_app

HELP = """Versions, cores, memory, disk, GPU, kernel cache and whether a Ray cluster answers.

Example: corpusmill doctor --address 127.0.0.1:6379"""

SCHEMA = 1
"""Of the JSON: raised when a key changes its meaning or goes; new keys may come."""

OK, MISSING, BAD = "ok", "missing", "BAD"
"""Missing is what something optional needs, and no failure by itself; the line says what brings it."""


class Check(NamedTuple):
    """A line of the answer."""

    what: str
    line: str
    state: str


LIBRARIES = (
    "pyarrow", "numpy", "numba", "xxhash", "isal", "zstandard", "tokenizers", "pydantic", "typer", "fsspec",
)  # fmt: skip
EXTRAS = {
    "jinja2": "report",
    "duckdb": "sql",
    "starlette": "window",
    "uvicorn": "window",
    "brotli": "web",
    "lz4": "web",
    "resiliparse": "web",
    "webencodings": "web",
    "ray": "ray",
    "torch": "train",
    "safetensors": "train",
    "fasttext-community": "fasttext",
    "matplotlib": "report",
    "datasketch": "datasketch",
}


def app_for(name: str) -> typer.Typer:
    """The typer application of the command."""
    return command_app(_doctor, HELP)


def _doctor(
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to check; RAY_ADDRESS if left out", metavar="HOST:PORT")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    checks = [*_machine(), *_libraries(), *_kernels(), *_gpu(), *_ray(address)]
    healthy = all(check.state != BAD for check in checks)
    if as_json:
        from corpusmill.pipelines.summary import print_json

        lines = [{"name": check.what, "state": check.state.lower(), "detail": check.line} for check in checks]
        print_json({"schema": SCHEMA, "healthy": healthy, "checks": lines})
    else:
        _print(checks)
    raise typer.Exit(0 if healthy else 1)


def _print(checks: list[Check]) -> None:
    from corpusmill.pipelines.terminal import Column, output_console, print_lines, table

    console = output_console()
    rows = [(f"{check.state:<7}", f"{check.what:<19}", check.line) for check in checks]
    print_lines(console, table([Column("")] * 3, rows, console.width))


def _machine() -> list[Check]:
    import psutil

    from corpusmill.dataproc.operating_system import available_cores
    from corpusmill.pipelines.engine.manifest import our_version

    memory = psutil.virtual_memory()
    free = psutil.disk_usage(".").free
    return [
        Check("corpusmill", our_version(), OK),
        Check("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", OK),
        Check("cores", f"{available_cores()}", OK),
        Check(
            "memory",
            f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB free",
            OK if memory.available > 2**30 else BAD,
        ),
        Check("disk", f"{free / 2**30:.1f} GiB free here", OK if free > 2**30 else BAD),
    ]


def _libraries() -> list[Check]:
    lines = []
    for name in (*LIBRARIES, *EXTRAS):
        try:
            lines.append(Check(name, version(name), OK))
        except PackageNotFoundError:
            extra = EXTRAS.get(name)
            hint = f"pip install 'corpusmill[{extra}]'" if extra else "pip install corpusmill again"
            lines.append(Check(name, f"not installed: {hint}", MISSING if extra else BAD))
    return lines


def _kernels() -> list[Check]:
    from corpusmill.pipelines import kernels

    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    warmups = kernels.warmups()
    compiled = sum(map(kernels.is_compiled, warmups))
    if compiled:
        return [Check("kernel cache", f"{compiled} of {len(warmups)} parts compiled; {folder}", OK)]
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        return [Check("kernel cache", f"{there} cannot be written to; set CORPUSMILL_CACHE to another folder", BAD)]
    return [Check("kernel cache", f"not compiled yet (the first stage that needs them does it); {folder}", OK)]


def _gpu() -> list[Check]:
    try:
        import torch
    except ImportError:
        return [Check("gpu", "unknown without torch", MISSING)]
    if not torch.cuda.is_available():
        return [Check("gpu", "none; training runs on the CPU", OK)]
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return [Check("gpu", ", ".join(names), OK)]


def _ray(address: str | None) -> list[Check]:
    target = address or os.environ.get("RAY_ADDRESS")
    if not target:
        return [Check("ray cluster", "none named; --engine ray starts one of its own", OK)]
    try:
        import ray

        from corpusmill.pipelines.engine.ray import check_reachable

        check_reachable(target)
        ray.init(address=target, log_to_driver=False, logging_level="ERROR")
        cpus = ray.cluster_resources().get("CPU", 0)
        ray.shutdown()
    except Exception as error:  # whatever Ray says is what the user needs to read
        return [Check("ray cluster", f"{target}: {' '.join(str(error).split())[:200]}", BAD)]
    return [Check("ray cluster", f"{target}: {cpus:g} CPUs", OK)]
