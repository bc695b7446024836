"""The layout of special tokens that a setting names: a preset, or a YAML or JSON file of the user's.

What a file says is in `tokenizer/formats/special_records.py`. Only the plain values of YAML are read. The file is read
where the command runs and travels to workers as values, so it need not lie where they see it; `training.json` keeps it
whole.
"""

from pathlib import PurePosixPath
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.yaml_text import load_yaml
from corpusmill.tokenizer.formats.special_records import layout_from_record
from corpusmill.tokenizer.special import LAYOUTS, SpecialLayout

MOST_BYTES = 16 << 20


def read_layout(setting: str) -> SpecialLayout:
    """The layout of that name, or of that file (path or URL). Raises UserError with the field that is wrong."""
    if setting in LAYOUTS:
        return LAYOUTS[setting]
    if not storage.exists(setting) or setting in (".", ".."):
        hint = f"give a YAML or JSON file, or one of {', '.join(sorted(LAYOUTS))}"
        raise UserError(f"no layout of special tokens '{setting}'", hint=hint)
    layout = layout_from_record(read_values(setting), setting, PurePosixPath(setting).stem)
    if not layout.first and not layout.last:
        raise UserError("a layout without special tokens", setting, "give `first` or `last`")
    return layout


def read_values(path: str) -> Any:
    """The plain values of a YAML or JSON file (path or URL). Raises UserError when it is neither, or too large."""
    try:
        if storage.exists(path) and storage.size(path) > MOST_BYTES:
            raise UserError("too large for a file of special tokens", where=path)
        return load_yaml(storage.read_bytes(path), path)
    except IsADirectoryError as error:
        raise UserError("this is a folder, not a file", where=path) from error
