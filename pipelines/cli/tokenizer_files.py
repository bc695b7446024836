"""`corpusmill tokenizer import|shrink`: tokenizer folders made of other tokenizers."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from corpusmill.dataproc.errors import UserError

Output = Annotated[str, typer.Option(help="tokenizer folder to create", metavar="TOKENIZER")]


def _import(
    file: Annotated[
        str, typer.Argument(help="tokenizer.json, a file of tiktoken's ranks, or a folder with one", metavar="FILE")
    ],
    output: Output,
    pattern: Annotated[
        str | None,
        typer.Option(help="how a file of ranks cuts text: a preset (cl100k, o200k, …)", metavar="PATTERN"),
    ] = None,
    regex: Annotated[str | None, typer.Option(help="the same, as a custom regular expression", metavar="REGEX")] = None,
    special: Annotated[
        list[str] | None,
        typer.Option(help="special tokens of a file of ranks: SPELLING=ID, or a YAML or JSON file of these"),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(help="ROLE=SPELLING: what a special token is for; roles are guessed otherwise"),
    ] = None,
    drop_normalizer: Annotated[
        bool, typer.Option("--drop-normalizer", help="drop the normaliser, for text that is already normalised")
    ] = False,
) -> None:
    """Make a tokenizer folder from another library's byte-level tokenizer; its ids are kept.

    Ids equal the original's, except that the spelling of an added token inside text is text; a file that has something
    without a counterpart here is refused with the reason. Prints which special token does what.

    Example: corpusmill tokenizer import model/tokenizer.json --output tokenizer --role 'eos=<|im_end|>'
    """
    from corpusmill.pipelines.visible import one_line
    from corpusmill.tokenizer.formats.files import write_files
    from corpusmill.tokenizer.formats.importing import import_tokenizer

    files = import_tokenizer(
        file,
        pattern=tokenizer_pattern(pattern, regex),
        special=_special(special or ()),
        roles=dict(_pair(pair, "--role") for pair in role or ()),
        drop_normalizer=drop_normalizer,
    )
    _check_new(output)
    record = files.training["training"]
    written = write_files(output, files.vocabulary, files.special, files.layout, files.pattern, record)
    _print_made(written, output)
    if texts := record["imported"].get("cut_out"):
        named = ", ".join(map(repr, texts[:6])) + (f" and {len(texts) - 6} more" if len(texts) > 6 else "")
        print(
            one_line(f"ids differ from the original's only in text that spells an added token, kept as text: {named}")
        )
    if left := [name for name in ("post_processor", "normalizer") if record["imported"].get(name)]:
        print(f"recorded, not applied: {', '.join(left)}")


def _shrink(
    tokenizer: Annotated[str, typer.Argument(help="a tokenizer folder", metavar="TOKENIZER")],
    output: Output,
    vocab_size: Annotated[int, typer.Option(help="number of ids to keep", min=256, metavar="N")],
) -> None:
    """Make a smaller tokenizer: the first ids of one, as if its training had stopped there.

    No id moves but those of the special tokens at the end, which are laid out behind the new end.

    Example: corpusmill tokenizer shrink tokenizer --vocab-size 32000 --output small
    """
    from corpusmill.tokenizer.formats.shrinking import shrink_tokenizer

    _check_new(output)
    _print_made(shrink_tokenizer(tokenizer, vocab_size, output), output)


COMMANDS: dict[str, Callable[..., None]] = {"import": _import, "shrink": _shrink}


def tokenizer_pattern(pattern: str | None, regex: str | None) -> Any:
    """The pattern that the options --pattern and --regex state; None if neither is given."""
    from corpusmill.tokenizer.patterns import Pattern, pattern_named

    if pattern and regex:
        raise UserError("only one of these can be given", where="--pattern, --regex")
    if regex:
        return Pattern("custom", (regex,))
    return pattern_named(pattern) if pattern else None


def _pair(text: str, option: str) -> tuple[str, str]:
    """What stands on either side of the first equals sign."""
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise UserError(f"'{text}' is not ROLE=SPELLING", where=option, hint="for example eos=<|endoftext|>")
    return name, value


def _special(given: Sequence[str]) -> dict[str, int]:
    """Id by spelling; an entry is SPELLING=ID, or a file of such."""
    from corpusmill.dataproc import storage
    from corpusmill.pipelines.special_layouts import read_values

    ids: dict[str, int] = {}
    for entry in given:
        text, _, number = entry.rpartition("=")
        if text and number.isascii() and number.isdigit() and len(number) < 10:
            table: Any = {text: int(number)}
        elif storage.exists(entry):
            table = read_values(entry)
        else:
            hint = "for example '<|endoftext|>=50256'"
            raise UserError(f"'{entry}' is neither SPELLING=ID nor a file", where="--special", hint=hint)
        if not isinstance(table, dict) or not all(isinstance(k, str) and type(v) is int for k, v in table.items()):
            raise UserError("not a mapping of spellings to ids", where=entry)
        if twice := [spelling for spelling in table if spelling in ids]:
            raise UserError(f"{twice[0]!r} is given twice", where="--special")
        ids |= table
    return ids


def _check_new(output: str) -> None:
    from corpusmill.dataproc import storage

    if storage.list_names(output):
        raise UserError("this folder already exists", where=output, hint="use another folder, or remove it")


def _print_made(files: Any, output: str) -> None:
    """What was made: sizes, pattern, roles."""
    from corpusmill.pipelines.visible import one_line

    special = files.special
    rows = f"{special.vocab_size:,} ids, {len(files.vocabulary.merges):,} merges, {special.model_rows:,} embedding rows"
    print(one_line(f"{output}: {rows}, pattern {files.pattern.name}, {len(special.tokens):,} special tokens"))
    texts = {token.id: token.text for token in special.tokens}
    for role, number in special.roles.items():
        print(one_line(f"{role} {number} {texts[number]}"))
    if not special.roles:
        print("no roles: assign them with --role before packing")
