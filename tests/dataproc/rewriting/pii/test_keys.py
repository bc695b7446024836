"""What is a key, and what is a digest, a placeholder or a name. All keys here were made up by a random generator."""

import base64
import random
import string

import pytest

from corpusmill.dataproc.rewriting.pii.keys import find_block, find_secret, find_token
from corpusmill.dataproc.rewriting.pii.window import Window

ALPHANUMERIC = string.ascii_letters + string.digits


def drawn(size: int, letters: str = ALPHANUMERIC) -> str:
    return "".join(random.Random(size).choices(letters, k=size))


def token(text: str, at: int = 0) -> str | None:
    span = find_token(Window(text.encode(), at))
    return text[span[0] : span[1]] if span else None


def secret(text: str, value: str) -> str | None:
    span = find_secret(Window(text.encode(), text.index(value)))
    return text[span[0] : span[1]] if span else None


TOKENS = [
    "AKIA" + drawn(16, string.ascii_uppercase + "234567"),
    "ghp_" + drawn(36),
    "github_pat_" + drawn(22) + "_" + drawn(59),
    "glpat-" + drawn(20),
    "xoxb-" + drawn(12, string.digits) + "-" + drawn(24),
    "sk_live_" + drawn(24),
    "rk_test_" + drawn(24),
    "AIza" + drawn(35),
    "sk-proj-" + drawn(48),
    "sk-" + drawn(48),
    "hf_" + drawn(34),
    "npm_" + drawn(36),
    "dop_v1_" + drawn(64, "0123456789abcdef"),
    "pypi-AgE" + drawn(60),
    "eyJ" + drawn(20) + ".eyJ" + drawn(60) + "." + drawn(43),
]


@pytest.mark.parametrize("value", TOKENS)
def test_tokens_are_found_whole_and_not_inside_longer_words(value):
    assert token(f"{value}, and") == value
    assert token(value[:-1] if len(value) < 24 else value[:12]) is None
    assert token("AKIA" + value) is None


def test_examples_and_placeholders_are_left():
    assert token("AKIAIOSFODNN7EXAMPLE") is None
    assert token("ghp_" + "x" * 36) is None
    assert token("sk_live_" + "a" * 24) is None


HEX, MIXED = drawn(40, "0123456789abcdef"), drawn(32)


@pytest.mark.parametrize(
    "text",
    [
        f'api_key = "{MIXED}"',
        f"password: {MIXED}",
        f'"client_secret": "{HEX}",',
        f"AUTH_TOKEN={MIXED}",
        f"x['secret'] = '{HEX}'",
    ],
)
def test_assigned_secrets_are_found(text):
    value = MIXED if MIXED in text else HEX
    assert secret(text, value) == value


@pytest.mark.parametrize(
    "text",
    [f'name = "{MIXED}"', f"password_sha1: {HEX}", f"token({MIXED}", f"api_key = {MIXED}(x)", f"public_key: {MIXED}"],
)
def test_what_is_no_secret_by_its_name_or_use_is_left(text):
    assert secret(text, MIXED if MIXED in text else HEX) is None


@pytest.mark.parametrize(
    "value",
    ["YourSecretTokenGoesHere123", "getPasswordFromEnvironmentVariable", "12345678901234567890",
     "aaaaaaaaaaaaaaaaaaaa1B2",
     "my_password_is_in_the_vault_1"],
)  # fmt: skip
def test_values_that_do_not_look_random_are_left(value):
    assert secret(f"password = {value}", value) is None


def block(text: str) -> str | None:
    data = text.encode()
    span = find_block(memoryview(data), text.index("-B"))
    return data[span[0] : span[1]].decode() if span else None


def test_a_private_key_is_found_from_its_begin_to_its_end():
    body = base64.encodebytes(random.Random(1).randbytes(600)).decode()
    for kind in ("RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"):
        key = f"-----BEGIN {kind}-----\n{body}-----END {kind}-----"
        assert block(f"see\n{key}\nand") == key
        cut_off = f"-----BEGIN {kind}-----\n{body}"
        cut_key = block(cut_off + "\nA sentence.")
        assert cut_key is not None and cut_off.startswith(cut_key) and len(cut_key) > 0.9 * len(cut_off)


def test_what_is_said_about_private_keys_is_left():
    assert block("-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----") is None
    assert block("-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----") is None
    assert block("-----BEGIN CERTIFICATE-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n") is None
