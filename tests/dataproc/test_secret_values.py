"""Secrets of the environment reach no text; words that are not secrets stay."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.secret_values import mask_secrets
from corpusmill.dataproc.urls import mask_text, mask_values

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "hf_token", "GITHUB_PAT", "WANDB_API_KEY",
        "DB_PASSWORD", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_SAS_TOKEN",
        "MY_PRIVATE_KEY",
        "CLIENT_SECRET", "RAY_AUTH_TOKEN", "SSH_PASSPHRASE", "DB_PASS", "AZURE_STORAGE_SAS_TOKEN",
    ],
)  # fmt: skip
def test_the_value_of_a_secret_is_masked_as_it_is_and_as_a_url_spells_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, SECRET)
    quoted = "wJalrXUtnFEMI%2FK7MDENG%2BbPxRfiCY"
    for text in (f"refused: {SECRET}", f"key={quoted}.", f"'{SECRET}'{SECRET}"):
        assert SECRET not in mask_text(text) and quoted not in mask_text(text) and "***" in mask_text(text)
    assert SECRET not in str(UserError("wrong", where=f"/a/{SECRET}", hint=SECRET))
    assert SECRET not in repr(mask_values({SECRET: [SECRET, {"x": (f"s3://b/{SECRET}", 1)}]}))
    monkeypatch.delenv(name)
    assert mask_text(SECRET) == SECRET, "it goes by the environment as it is now"


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("HTTPS_PROXY", "http://me:pa55-phrase@proxy:3128", "pa55-phrase"),
        ("SOME_URL", "postgresql://me:Pa55%2Fword@db/x", "Pa55%2Fword"),
        ("SOME_URL", "postgresql://me:Pa55%2Fword@db/x", "Pa55/word"),
        ("FSSPEC_S3", '{"key": "AKIA", "secret": "wJalr+XUtnFEMI"}', "wJalr+XUtnFEMI"),
        ("AWS_SECRET_ACCESS_KEY", "/alrXUtnFEMI+K7MDENG", "/alrXUtnFEMI+K7MDENG"),
        ("STORAGE", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=abc123DEF456==;x=y", "abc123DEF456=="),
    ],
)
def test_secrets_inside_of_values_are_masked(
    name: str, value: str, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert mask_secrets(f"said {secret} twice: {secret}") == "said *** twice: ***"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_TOKEN", "short"),
        ("DB_PASSWORD", "quickstart"),
        ("TOKENIZERS_PARALLELISM", "12345678"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/eks.amazonaws.com/token"),
        ("RAY_AUTH_TOKEN_PATH", "/home/mill/.ray/token"),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/home/mill/key.json"),
        ("PATH", "/usr/bin:/bin"),
        ("EOS_TOKEN", "<|endoftext|>"),
        ("TOKENIZER", "o200k_base"),
        ("MY_SECRET", "/etc/hosts"),
        ("HOME", "/home/Mill-9000"),
    ],
)
def test_words_paths_and_identifiers_stay(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert mask_text(f"it said {value}") == f"it said {value}"


@given(st.text(), st.text(), st.text(st.characters(categories=["Lu", "Nd", "Po"]), min_size=8))
def test_no_secret_survives_in_any_text(before: str, after: str, secret: str) -> None:
    os.environ["X_TOKEN"] = value = secret.replace("\0", "").strip() + "-Z"
    try:
        for spelled in (value, repr(value), json.dumps(value)):
            assert value not in mask_secrets(f"{before}{spelled}{after}")
            assert spelled[1:-1] not in mask_secrets(f"{before}{spelled}{after}")
    finally:
        del os.environ["X_TOKEN"]


def test_a_secret_of_several_lines_is_masked_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----"
    monkeypatch.setenv("GCP_PRIVATE_KEY", key)
    assert str(UserError(f"refused {key}")) == "refused ***"
    assert "MIIE" not in mask_text(" ".join(key.split()))


def test_masked_values_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "alpha-v11")
    monkeypatch.setenv("B_TOKEN", "beta-v222")
    masked = mask_values({"alpha-v11": 1, "beta-v222": 2})
    assert sorted(masked.values()) == [1, 2] and "alpha" not in str(masked) and "beta" not in str(masked)
    assert mask_values("alpha-v11") != mask_values("beta-v222")
