"""Requests to an object store: what finding a finished stage takes, and what each stage of a road takes.

    python benchmarks/stores.py finished [--outputs 450000] [--delay 0.05]
    python benchmarks/stores.py road FOLDER [--delay 0.05] [--faults 0.01] [--workers 2] [--stages documents,clean,…]

`finished` plays a store that lists so many outputs, behind the proxy of the tests, which adds a delay to each request,
and times `done_manifest`, which is all that a run does about a stage that is finished. `road` runs the small recipe of
the tests (`tests/pipelines/road.py`) stage by stage on moto's server behind the same proxy, and once in FOLDER, and
prints a table: requests by kind, the least that are possible (each object that was read fetched once, each that was
written put once), their ratio, and seconds beside those of the local run. It needs `moto[server]` and `s3fs`.

The proxy and the server run on this machine, too, and take their share of its cores.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.pipelines.road import STAGES, environment, write_recipe
from tests.stores.proxy import Proxy
from tests.stores.server import Server, client_environment

PAGE = 1000
SIZE = 123
NAME = "part-{:06d}.parquet"
WRITTEN = ("PUT", "PART", "POST", "DELETE")


def play_store(outputs: int) -> Callable[[str, str], tuple[int, bytes]]:
    """What answers for a store with one finished stage, `lake/run`, of so many outputs."""
    plan = {"stage": "filter", "stage_version": 1, "seed": 0, "settings": {}, "inputs": {}}
    entry = {"rows": 1, "bytes": SIZE, "digest": "0" * 32, "arrow_bytes": 456}
    parts = [{"path": NAME.format(number), **entry} for number in range(outputs)]
    manifest = plan | {"schema": 1, "corpusmill": "0", "counts": {"documents_in": 0}, "parts": parts, "files": []}
    files = {
        "/lake/run/_state/plan.json": json.dumps(plan).encode(),
        "/lake/run/_manifest.json": json.dumps(manifest | {"facts": {}}, indent=1).encode(),
    }

    def answer(method: str, path: str) -> tuple[int, bytes]:
        parsed = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parsed.query, keep_blank_values=True).items()}
        if "list-type" in query:
            return 200, page(outputs, query)
        data = files.get(unquote(parsed.path))
        return (404, b"") if data is None else (200, data)

    return answer


def page(outputs: int, query: dict[str, str]) -> bytes:
    """A page of ListObjectsV2 as S3 writes it."""
    after = query.get("continuation-token") or query.get("start-after") or ""
    digits = "".join(character for character in after.rsplit("/", 1)[-1] if character.isdigit())
    first = int(digits) + 1 if digits else 0
    last = min(outputs, first + PAGE)
    contents = "".join(
        f"<Contents><Key>run/{NAME.format(number)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{number:032x}&quot;</ETag><Size>{SIZE}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for number in range(first, last)
    )
    more = f"<NextContinuationToken>run/{NAME.format(last - 1)}</NextContinuationToken>" if last < outputs else ""
    return (
        "<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>"
        f"<Name>lake</Name><Prefix>run/</Prefix><KeyCount>{last - first}</KeyCount><MaxKeys>{PAGE}</MaxKeys>"
        f"<IsTruncated>{'true' if last < outputs else 'false'}</IsTruncated>{more}{contents}</ListBucketResult>"
    ).encode()


def serve_finished(outputs: int, delay: float, pipe: Any) -> None:
    """The process of the store that is played."""
    with Proxy(play_store(outputs), delay=delay) as proxy:
        pipe.send(proxy.url)
        while pipe.recv() == "counts":
            pipe.send((dict(proxy.counts), proxy.most_at_once))


def measure_finished(outputs: int, delay: float) -> None:
    """Prints what it takes to find a stage of so many outputs finished."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve_finished, args=(outputs, delay, theirs))
    server.start()
    os.environ |= client_environment(ours.recv())
    from corpusmill.pipelines.engine.manifest import done_manifest

    plan = {"stage": "filter", "stage_version": 1, "seed": 0, "settings": {}, "inputs": {}}
    started, used = time.perf_counter(), time.process_time()
    assert done_manifest(plan, "s3://lake/run") is not None
    seconds, used = time.perf_counter() - started, time.process_time() - used
    ours.send("counts")
    counts, at_once = ours.recv()
    ours.send("end")
    server.join()
    print(
        f"{outputs:,} outputs, {delay * 1000:g} ms a request: found finished in {seconds:.1f} s ({used:.1f} s of CPU)"
    )
    print(f"requests {counts}, at most {at_once} at a time; the least are {-(-outputs // PAGE)} listings and 2 GETs")


def recipe_up_to(recipe: Path, stage: str) -> Path:
    """The recipe without the stages behind one."""
    import yaml

    values = yaml.safe_load(recipe.read_text())
    kept = list(values["stages"])[: list(values["stages"]).index(stage) + 1]
    values["stages"] = {name: values["stages"][name] for name in kept}
    path = recipe.with_name(f"up-to-{stage}.yaml")
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def run_recipe(recipe: Path, output: str, workers: int, variables: dict[str, str]) -> None:
    """Runs a recipe as a process. Raises SystemExit with what it said where it failed."""
    options = ["--output", output, "--workers", str(workers), "--allow-quarantine"]
    command = [sys.executable, "-m", "corpusmill", "run", str(recipe), *options]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment(**variables), check=False)
    if ended.returncode:
        sys.exit(ended.stderr)


def stage_seconds(path: Path) -> float:
    """What a local stage took, by its own record."""
    return float(json.loads((path / "_state" / "seconds.json").read_text())["seconds"])


def measure_road(folder: Path, delay: float, faults: float, workers: int, stages: list[str]) -> None:
    """Prints the table of the stages."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = write_recipe(folder)
    run_recipe(recipe_up_to(recipe, stages[-1]), str(folder / "local"), workers, {})
    print(
        "| stage | requests | by kind | least | ratio | made again | local s | store s |",
        f"({delay * 1000:g} ms, {workers} workers)",
    )
    with Server() as server:
        server.make_bucket("lake")
        with Proxy(server.target, delay=delay, slow_downs=faults, cuts=faults) as proxy:
            variables = client_environment(proxy.url)
            for stage in STAGES[: STAGES.index(stages[-1]) + 1]:
                proxy.reset()
                run_recipe(recipe_up_to(recipe, stage), "s3://lake/run", workers, variables)
                here = [(kind, key) for kind, key in proxy.keys if f"/run/{stage}/" in key or kind == "GET"]
                read = {key for kind, key in here if kind == "GET"}
                written = {key for kind, key in here if kind in ("PUT", "PART")}
                listed = {key for kind, key in here if kind == "LIST"}
                number, least = len(here), len(read) + len(written) + len(listed)
                again = sum(proxy.faults.values())
                kinds = " ".join(f"{kind} {sum(k == kind for k, _ in here)}" for kind in sorted(proxy.counts))
                record = json.loads(fetch(server, f"/lake/run/{stage}/_state/seconds.json"))
                local = stage_seconds(folder / "local" / stage)
                print(
                    f"| {stage} | {number} | {kinds} | {least} | {number / least:.2f} | {again} | {local:.1f} "
                    f"| {record['seconds']:.1f} |",
                    flush=True,
                )


def fetch(server: Server, path: str) -> bytes:
    """An object, past the proxy."""
    import urllib.request

    host, port = server.target
    request = urllib.request.Request(f"http://{host}:{port}{path}")
    request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/s3/aws4_request")
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    finished = commands.add_parser("finished")
    finished.add_argument("--outputs", type=int, default=450_000)
    finished.add_argument("--delay", type=float, default=0.05)
    road = commands.add_parser("road")
    road.add_argument("folder", type=Path)
    road.add_argument("--delay", type=float, default=0.05)
    road.add_argument("--faults", type=float, default=0.0, help="share of SlowDown answers, and of cut ones")
    road.add_argument("--workers", type=int, default=2)
    road.add_argument("--stages", default=",".join(STAGES))
    values = parser.parse_args()
    if values.command == "finished":
        measure_finished(values.outputs, values.delay)
    else:
        measure_road(values.folder, values.delay, values.faults, values.workers, values.stages.split(","))


if __name__ == "__main__":
    main()
