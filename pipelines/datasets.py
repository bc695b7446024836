"""Datasets as stages see them: their parts, in the order of their manifests, and an identity for the plan."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xxhash

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.registry import description_of

SHARD_MAKERS = ("pack", "import")
"""The stages that make token shards."""


@dataclass(frozen=True, kw_only=True)
class PartReference:
    """One Parquet part of an input dataset. `number` counts over all inputs, and is the top half of a row's address."""

    number: int
    path: str
    rows: int
    bytes: int
    arrow_bytes: int

    @property
    def task_id(self) -> str:
        return f"part-{self.number:05d}"


def list_parts(folders: Sequence[str], resolve: Callable[[str], str]) -> list[PartReference]:
    """The parts of datasets, numbered through.

    Raises UserError for a folder that is not a finished dataset, or is given twice (each id would be there twice).
    """
    parts: list[PartReference] = []
    taken: set[str] = set()
    for folder in folders:
        opened = resolve(folder)
        manifest = state.require_manifest(opened)
        description = description_of(manifest["stage"])
        if description and not description.has_documents:
            what = f"this folder holds {description.holds}, not documents"
            raise UserError(what, where=opened, hint="give a dataset made by ingest, filter or dedup")
        if storage.absolute(opened) in taken:
            raise UserError("this dataset is given twice", where=opened, hint="give it once")
        taken.add(storage.absolute(opened))
        try:
            for entry in manifest["parts"]:
                parts.append(
                    PartReference(
                        number=len(parts),
                        path=storage.join(opened, entry["path"]),
                        rows=entry["rows"],
                        bytes=entry["bytes"],
                        arrow_bytes=entry.get("arrow_bytes", entry["bytes"]),
                    )
                )
        except (KeyError, TypeError, AttributeError) as error:
            where = storage.join(opened, state.MANIFEST)
            raise UserError(f"no list of parts in it ({error})", where, "make the dataset again") from error
    return parts


def require_distinct_ids(folders: Sequence[str], resolve: Callable[[str], str]) -> None:
    """Raises UserError where a document of one dataset has the id of a document of another.

    Cost: the ids of all of them are read once, of a single dataset nothing is; 16 bytes an id in a temporary folder
    where there are more than 8 million.
    """
    if len(folders) < 2:
        return
    from corpusmill.dataproc.ids import find_repeated_by_ranges

    parts = [(number, part) for number, folder in enumerate(folders) for part in list_parts([folder], resolve)]
    paths, sets = [part.path for _, part in parts], [number for number, _ in parts]
    for repeated in find_repeated_by_ranges(paths, [part.rows for _, part in parts], sets):
        places = repeated.places
        if places.num_rows:
            first = places.column("id")[0].as_py()
            at = [sets[row["part"]] for row in places.to_pylist() if row["id"] == first]
            ids = len(places.column("id").unique())
            what = f"at least {ids:,} ids stand in {resolve(folders[at[-1]])}, too, among them '{first}'"
            hint = "leave one of the two out, or read each with a source of its own when they are ingested"
            raise UserError(what, where=resolve(folders[at[0]]), hint=hint)


def require_shards(folder: str) -> dict[str, Any]:
    """The manifest of a folder of token shards. Raises UserError for a folder of anything else."""
    manifest = state.require_manifest(folder)
    if manifest["stage"] not in SHARD_MAKERS:
        what = f"no token shards found: '{manifest['stage']}' made this folder"
        raise UserError(what, where=folder, hint="make them with 'corpusmill pack'")
    return manifest


def folder_identities(folders: Sequence[str], resolve: Callable[[str], str]) -> dict[str, Any]:
    """{folder as written: {"manifest": digest}}: the manifest holds the digest of every part."""
    identities = {}
    for folder in folders:
        identities[folder] = {"manifest": state.manifest_digest(resolve(folder))}
    return identities


def tokenizer_identity(folder: str, resolve: Callable[[str], str]) -> dict[str, Any]:
    """As `folder_identities`, of a tokenizer folder. One that no stage made (it was imported or cut to size) has the
    digest of its `training.json`, which holds those of what counts."""
    opened = resolve(folder)
    record = storage.join(opened, "training.json")
    of_a_stage = any(storage.exists(storage.join(opened, name)) for name in (state.MANIFEST, state.STATE))
    if not of_a_stage and not storage.exists(record):
        from corpusmill.tokenizer.formats.files import require_folder

        require_folder(opened)
    if of_a_stage:
        return folder_identities([folder], resolve)
    return {folder: {"training": xxhash.xxh3_128_hexdigest(storage.read_bytes(record))}}


def has_known_pattern(folder: str, resolve: Callable[[str], str]) -> bool:
    """Whether a tokenizer's text is cut by one of our patterns, whose time is in proportion to the text: another one
    goes through regular expressions, and those may take any time."""
    from corpusmill.tokenizer.formats.files import read_tokenizer
    from corpusmill.tokenizer.patterns import PATTERNS

    return read_tokenizer(resolve(folder)).pattern.name in PATTERNS


def check_roles_needed(folder: str, resolve: Callable[[str], str], needed: Mapping[str, str]) -> None:
    """Raises UserError when a tokenizer has no special token for a role; `needed` says what for, by role."""
    from corpusmill.tokenizer.formats.files import read_tokenizer

    roles = read_tokenizer(resolve(folder)).special.roles
    for role, purpose in needed.items():
        if role not in roles:
            what = f"the tokenizer has no special token for the role '{role}', which {purpose}"
            raise UserError(
                what, where=folder, hint="make or import a tokenizer that has one, or change the setting that needs it"
            )


def check_chat_template(folder: str, resolve: Callable[[str], str]) -> None:
    """Raises UserError for a tokenizer whose special tokens have no roles, so that it has no chat template."""
    from corpusmill.tokenizer.chat import template_of
    from corpusmill.tokenizer.formats.files import read_tokenizer

    if template_of(read_tokenizer(resolve(folder)).special.ids) is None:
        hint = "make one with --special compact, deepseek-v3, chatml or llama3"
        raise UserError("the tokenizer has no special tokens for the roles of a conversation", folder, hint)


def listed(results: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The file entries that task results hold under a name, in the order of the tasks."""
    return [entry for result in results for entry in result.get(name, [])]
