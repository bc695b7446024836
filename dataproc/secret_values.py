"""Values of secrets that this process was given by its environment, so that none of them reaches a line or a file.

Clients of stores repeat what they were given in their errors, a recipe may have been filled in from variables, and a
traceback shows arguments. So wherever text leaves (messages, logs, manifests, markers, kept recipes), the value of
every variable whose name says that it is a secret is replaced, as it is and as a URL spells it; so is the password of
any URL among the variables (a proxy's), and the key inside a connection string.

A value of fewer than `LEAST_CHARACTERS`, a plain word, a number, and the path of a file that is there are not secrets:
they would be found in every other line. An access key may begin with a slash, so a value is no path by its looks.
"""

import json
import os
import re
from functools import lru_cache
from urllib.parse import quote, unquote

MASK = "***"
LEAST_CHARACTERS = 8
_NAME = re.compile(
    r"SECRET|TOKEN(?:_|$)|PASSW(?:OR)?D|PASSPHRASE|API_?KEY|ACCESS_?KEY|ACCOUNT_?KEY|PRIVATE_?KEY|SIGNING_?KEY"
    r"|CREDENTIAL|CONNECTION_?STRING|(?:^|_)SAS(?:_|$)|(?:^|_)PAT$|(?:^|_)PASS$",
    re.IGNORECASE,
)
_OF_TEXT = re.compile(r"(?:^|_)(?:EOS|BOS|PAD|UNK|SEP|CLS|MASK|EOT|STOP|MAX|SPECIAL)_TOKEN$", re.IGNORECASE)
"""Names of tokens of another kind."""
_PATHS = re.compile(r"CREDENTIAL", re.IGNORECASE)
"""Names that usually stand for the path of a file."""
_NO_VALUE = re.compile(r"_(?:FILE|PATH|URI|ID|NAME|MODE|TYPE|DIR|EXPIRATION)$", re.IGNORECASE)
"""Endings of names that stand for something beside the secret: where it is, or whose."""
_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/@:]*:([^\s@]+)@")
_KEY = re.compile(r"(?:AccountKey|SharedAccessKey|SharedAccessSignature|Password)=([^;\s]+)", re.IGNORECASE)
_IN_JSON = re.compile(r'"(?:secret|password|token|\w*_?key|client_secret|sas_token)"\s*:\s*"([^"\\]+)"', re.IGNORECASE)
"""A secret among the settings of a client, as in FSSPEC_S3='{"secret": "..."}'."""
_PLAIN = re.compile(r"[a-z]+|[0-9.]+")


def mask_secrets(text: str) -> str:
    """The text with `***` in place of each secret of the environment."""
    pattern = _pattern(tuple(os.environ.items()))
    return pattern.sub(MASK, text) if pattern else text


def secret_pattern() -> re.Pattern[str] | None:
    """What finds the secrets of the environment as it is now; None where it has none."""
    return _pattern(tuple(os.environ.items()))


@lru_cache(maxsize=4)
def _pattern(variables: tuple[tuple[str, str], ...]) -> re.Pattern[str] | None:
    values: set[str] = set()
    for name, value in variables:
        if _names_a_secret(name) and not _is_path(name, value.strip()):
            values.add(value.strip())
        values.update(match[1] for form in (_PASSWORD, _KEY, _IN_JSON) for match in form.finditer(value))
    secrets = {value for value in values if len(value) >= LEAST_CHARACTERS and not _PLAIN.fullmatch(value)}
    spelled = {spelling for value in secrets for spelling in _spellings(value)}
    if not spelled:
        return None
    return re.compile("|".join(re.escape(value) for value in sorted(spelled, key=lambda value: (-len(value), value))))


def _names_a_secret(name: str) -> bool:
    return bool(_NAME.search(name)) and not _NO_VALUE.search(name) and not _OF_TEXT.search(name)


def _is_path(name: str, value: str) -> bool:
    return value.startswith("/") and (_PATHS.search(name) is not None or os.path.exists(value))  # noqa: PTH110


def _spellings(value: str) -> tuple[str, ...]:
    """A value as it is, on one line, as a URL has it, and inside of quotes, as Python and JSON write it."""
    quoted = (repr(value)[1:-1], json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    return (value, " ".join(value.split()), quote(value, safe=""), unquote(value), *quoted)
