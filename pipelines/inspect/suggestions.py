"""The commands that make sense next, for what a path is: whole, so that they can be copied."""

import shlex

from corpusmill.dataproc.side_tables import side_files
from corpusmill.pipelines.inspect import kinds
from corpusmill.pipelines.inspect.places import Place

_INSPECT = "corpusmill inspect"


def next_commands(place: Place) -> list[str]:
    """Commands for a place, the likeliest first; none where there is nothing to add."""
    path = shlex.quote(place.path)
    match place.what:
        case "run":
            return [
                f"{_INSPECT} why {path} ID",
                f'{_INSPECT} sql "SELECT * FROM tables" {path}',
                f"{_INSPECT} verify {path}",
                f"corpusmill report {path}",
            ]
        case "unfinished":
            return [f"corpusmill status {path}"]
        case "dataset":
            return [f"{_INSPECT} sample {path} -n 3", *_of_rules(place, path), f"{_INSPECT} why {path} ID"]
        case "shards" | "shard":
            trace = f"{_INSPECT} trace {path} --sequence 0"
            lint = f"{_INSPECT} lint {path}"
            return [f"{_INSPECT} show {path} --row 0 --tokens", f"{_INSPECT} sample {path} -n 3", trace, lint]
        case "model":
            return [f"{_INSPECT} steps {path}", f"{_INSPECT} trace {path} --step 1"]
        case "tokenizer":
            return [f"corpusmill tokenizer show {path}"]
        case "parquet files" | "parquet file":
            return [f"{_INSPECT} sample {path} -n 3", f'{_INSPECT} sql "SELECT * FROM records LIMIT 5" {path}']
        case kinds.INDEX:
            return [f"corpusmill index show {path}", f"corpusmill index query {path} DATASET --output matches"]
        case kinds.MEGATRON | kinds.MDS | kinds.FLAT:
            return [f"corpusmill import {path} --format {place.what.split()[0]} --tokenizer TOKENIZER --output shards"]
    return []


def _of_rules(place: Place, path: str) -> list[str]:
    """Samples of what a filter's commonest rule rejected, and of what is near to its threshold."""
    broke = place.manifest.get("facts", {}).get("documents_that_broke", {})
    if not any(broke.values()) or not side_files(place.manifest, "ledger"):
        return []
    rule = max(sorted(broke), key=lambda name: broke[name])
    named = shlex.quote(rule)
    commands = [f"{_INSPECT} sample {path} --only {named}"]
    for entry in place.manifest["facts"].get("rules_in_force", ()):
        if entry["name"] == rule and not entry["expression"]:
            side, value = next((side, entry[side]) for side in ("minimum", "maximum") if entry[side] is not None)
            milder, stricter = sorted((value / 2, value * 2))
            commands.append(f"{_INSPECT} sample {path} --near {named}")
            commands.append(
                f"corpusmill filter sweep {path} --rule {shlex.quote(f'{rule}.{side}={milder:g}..{stricter:g}')}"
            )
    return commands
