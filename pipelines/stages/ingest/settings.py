"""The settings of ingest: those of its inputs, which each may have of its own, and those of the stage."""

import dataclasses
from typing import Annotated, Any, Literal

from annotated_types import MinLen
from pydantic import AfterValidator, ByteSize, Field, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from corpusmill.dataproc.decompression import LARGEST_WINDOW_BYTES, WINDOW_BYTES
from corpusmill.dataproc.readers.pieces import Fields
from corpusmill.dataproc.readers.registry import FOLDERS, READERS, format_names
from corpusmill.pipelines.engine.stage import DOCUMENT_SECONDS, DocumentSeconds, StageSettings


def _known_format(name: str) -> str:
    if name not in (known := format_names(name)):
        raise PydanticCustomError("format", f"no reader for this format; known are {', '.join(known)}")
    return name


NAMED_CHARACTERS = {"tab": "\t", "\\t": "\t", "space": " ", "none": "none"}


def _character(value: str) -> str:
    """One ASCII character, or a name that stands for one or for none."""
    character = NAMED_CHARACTERS.get(value, value)
    if character != "none" and (len(character) != 1 or not character.isascii() or character in "\r\n\0"):
        raise PydanticCustomError("character", "must be one ASCII character, or the word tab, space or none")
    return character


Format = Annotated[str, AfterValidator(_known_format)]
Character = Annotated[str, AfterValidator(_character)]
Extractor = Literal["resiliparse", "trafilatura", "corpusmill"]


class InputFields(StageSettings):
    """What an input may have of its own; declared once, for the stage and for its inputs.

    A field that is also one of `Fields` reaches the readers by its name.
    """

    source: str = Field(default="corpus", description="name of the source, the first word of each new id", min_length=1)
    kind: str = Field(default="web", description="kind of text: web, book, docs, code, math, ...")
    format: Format | None = Field(
        default=None,
        description=f"format of the files: {', '.join((*READERS, *FOLDERS))}; by each one's ending if left out",
    )
    exclude: tuple[str, ...] = Field(default=(), description="patterns of file names to leave out")
    text_field: str = Field(
        default="text", description="field or column that holds the text; dots reach nested ones", min_length=1
    )
    id_field: str = Field(default="id", description="field or column that holds the id, where there is one")
    url_field: str = Field(default="url", description="field or column that holds the URL, where there is one")
    language_field: str = Field(
        default="language", description="field or column that holds the language, where there is one"
    )
    meta_fields: tuple[str, ...] | None = Field(
        default=None, description="other fields or columns to keep in meta; all if left out"
    )
    csv_delimiter: Character | None = Field(
        default=None, description="separator of CSV fields; a comma, or a tab in .tsv, if left out"
    )
    csv_quote: Character | None = Field(
        default=None, description='quote character of CSV, or none; ", or none in .tsv, if left out'
    )
    csv_escape: Character | None = Field(default=None, description="escape character of CSV, or none; none if left out")
    config: str | None = Field(
        default=None, description="configuration of a Hugging Face dataset; its default if left out"
    )
    split: str | None = Field(
        default=None, description="split of a Hugging Face dataset, or all; train, or the only one, if left out"
    )


class InputFiles(StageSettings):
    """The raw files of an input."""

    path: str = Field(description="a file, folder, glob, URL, or a crawl as in commoncrawl:CC-MAIN-2024-22/wet")
    exclude: tuple[str, ...] = Field(default=(), description="patterns of names to leave out, besides the stage's")


def _optional(field: FieldInfo) -> tuple[Any, Any]:
    """A field that may be left out; the stage's value then applies. It may be empty even if the stage's may not."""
    kind: Any = field.annotation
    if bounds := [bound for bound in field.metadata if not isinstance(bound, MinLen)]:
        kind = Annotated[kind, *bounds]
    return kind | None, Field(default=None, description=field.description)


_FIELDS: dict[str, Any] = {
    name: _optional(field) for name, field in InputFields.model_fields.items() if name not in InputFiles.model_fields
}
Input: Any = create_model("Input", __base__=InputFiles, **_FIELDS)
"""One kind of raw files, and what of the stage's settings is different for them."""


class IngestSettings(InputFields):
    """Settings of `corpusmill ingest`."""

    inputs: tuple[Input | str, ...] = Field(
        description="raw files: paths, folders, globs, URLs, or commoncrawl:CRAWL", min_length=1
    )
    duplicate_ids: Literal["unique", "refuse"] = Field(
        default="unique",
        description="repeated ids: rename all but the first to <id>~2, <id>~3, ..., or refuse to go on",
    )
    unicode_form: Literal["none", "NFC"] = Field(default="none", description="Unicode normal form for texts")
    mojibake: bool = Field(default=False, description="repair text decoded with the wrong charset, with ftfy")
    extractor: Extractor = Field(default="resiliparse", description="what extracts the text from HTML")
    comments: bool = Field(default=False, description="keep readers' comments of pages (extractor corpusmill only)")
    truncated: Literal["keep", "quarantine"] = Field(
        default="keep",
        description="truncated pages of archives: keep them, marked as truncated in meta, or quarantine them",
    )
    zstd_window: ByteSize = Field(
        default=ByteSize(WINDOW_BYTES),
        description="largest window that a zstd file may require; a worker may need this much memory for it",
        ge=1 << 10,
        le=LARGEST_WINDOW_BYTES,
    )
    repository_depth: int | None = Field(
        default=None, description="depth of the repositories below a path; detected if left out", ge=0, le=2
    )
    repository_documents: Literal["component", "repository", "file"] = Field(
        default="component", description="what a document is: files that need each other, a whole repository, or a file"
    )
    repository_document_bytes: ByteSize = Field(
        default=ByteSize(1 << 20), description="split longer documents of a repository between files", ge=1 << 10
    )
    repository_file_bytes: ByteSize = Field(
        default=ByteSize(1 << 20), description="leave longer files of a repository out", ge=1 << 10
    )
    part_bytes: ByteSize = Field(
        default=ByteSize(128 << 20), description="text per part, and input per task", ge=1 << 16
    )
    maximum_record_bytes: ByteSize = Field(
        default=ByteSize(64 << 20), description="quarantine longer records", ge=1 << 10
    )
    document_seconds: DocumentSeconds = DOCUMENT_SECONDS

    def of_input(self, files: Any) -> InputFields:
        """The fields of an input: its own, and the stage's where it has none; patterns to leave out are added up.

        Both were checked when they were read, and are not checked again.
        """
        own = {name: getattr(files, name) for name in InputFields.model_fields}
        merged = {name: value if _is_set(name, value) else getattr(self, name) for name, value in own.items()}
        return InputFields.model_construct(**merged | {"exclude": (*self.exclude, *files.exclude)})

    def record_fields(self, files: Any) -> Fields:
        """How the records of an input become documents."""
        return Fields(
            **self.of_input(files).model_dump(include={field.name for field in dataclasses.fields(Fields)}),
            maximum_record_bytes=int(self.maximum_record_bytes),
            extractor=self.extractor,
            comments=self.comments,
            truncated=self.truncated,
            zstd_window=int(self.zstd_window),
        )


def _is_set(name: str, value: Any) -> bool:
    """Whether an input has this field. An empty word counts as left out, but `id_field: ""` says there is no id."""
    return value is not None and (value != "" or name.endswith("_field"))
