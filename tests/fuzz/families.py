"""What is fuzzed: a family has seeds, folders that our own code or a library made, and a check of a damaged one.

A check reads what it is given as the product would. It may end with `UserError`, which is the line that a user sees;
any other exception is a fault. Where it can be told how many records a damaged file holds, it compares.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import readers, settings_files, tables

Seeds = Mapping[str, bytes]
"""Files of a seed's folder by name. One of them is damaged at a time."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """Seeds by name, and the check: given the folder and the name of the damaged file."""

    seeds: Callable[[Path], Mapping[str, Seeds]]
    check: Callable[[Path, str], None]


FAMILIES = {
    "readers": Family(seeds=readers.seeds, check=readers.check),
    "recipes": Family(seeds=settings_files.recipe_seeds, check=settings_files.check_recipe),
    "manifests": Family(seeds=settings_files.manifest_seeds, check=settings_files.check_manifest),
    "tokenizers": Family(seeds=tables.tokenizer_seeds, check=tables.check_tokenizer),
    "shards": Family(seeds=tables.shard_seeds, check=tables.check_shards),
    "parts": Family(seeds=tables.part_seeds, check=tables.check_parts),
}
