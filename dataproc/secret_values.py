"""Values of secrets that this process was given by its environment, so that none of them reaches a line or a file.

Clients of stores repeat what they were given in their errors, a recipe may have been filled in from variables, and a
traceback shows arguments. So wherever text leaves (messages, logs, manifests, markers, kept recipes), the value of
every variable whose name says that it is a secret is replaced, as it is and as a URL spells it; so is the password of
any URL among the variables (a proxy's), and the key inside a connection string.

A value of fewer than `LEAST_CHARACTERS`, a plain word, a number, and the path of a file are no secrets: they would be
found in every other line.
"""

import os
import re
from functools import lru_cache
from urllib.parse import quote, unquote

MASK = "***"
LEAST_CHARACTERS = 8
_NAME = re.compile(
    r"SECRET|TOKEN|PASSW(?:OR)?D|PASSPHRASE|API_?KEY|ACCESS_?KEY|ACCOUNT_?KEY|PRIVATE_?KEY|SIGNING_?KEY|CREDENTIAL"
    r"|CONNECTION_?STRING|(?:^|_)SAS(?:_|$)|(?:^|_)PAT$",
    re.IGNORECASE,
)
_NO_VALUE = re.compile(r"_(?:FILE|PATH|URI|ID|NAME|MODE|TYPE|DIR|EXPIRATION)$", re.IGNORECASE)
"""Endings of names that stand for something beside the secret: where it is, or whose."""
_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/@:]*:([^\s@]+)@")
_KEY = re.compile(r"(?:AccountKey|SharedAccessKey|SharedAccessSignature|Password)=([^;\s]+)", re.IGNORECASE)
_PLAIN = re.compile(r"[a-z]+|[0-9.]+|/[^\s]*")


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
        if _NAME.search(name) and not _NO_VALUE.search(name):
            values.add(value.strip())
        values.update(match[1] for match in (*_PASSWORD.finditer(value), *_KEY.finditer(value)))
    secrets = {value for value in values if len(value) >= LEAST_CHARACTERS and not _PLAIN.fullmatch(value)}
    spelled = {spelling for value in secrets for spelling in (value, quote(value, safe=""), unquote(value))}
    if not spelled:
        return None
    return re.compile("|".join(re.escape(value) for value in sorted(spelled, key=lambda value: (-len(value), value))))
