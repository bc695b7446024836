"""What a type checker sees of the library: real types, strictly, and no name that is not there.

The first run reads NumPy's types and all that is imported, half a minute of a core; later ones go by mypy's own cache,
which lies in pytest's.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SNIPPET = """
from corpusmill import MinHashSettings, Tokenizer, choose_bands, decide, measure, resolve_rules, signatures
from corpusmill import nothing_like_it
from corpusmill.pipelines.calls import dedup

tokenizer = Tokenizer.load("tokenizer")
rules = resolve_rules(["gopher-quality"])
reveal_type(tokenizer.encode("text"))
reveal_type(tokenizer.encode_batch(["text"]))
reveal_type(tokenizer.decode([1, 2]))
reveal_type(tokenizer.decode_batch([[1, 2]]))
reveal_type(rules)
reveal_type(decide(measure(["text"]), ["web"], rules).kept)
reveal_type(signatures(["text"], MinHashSettings()))
reveal_type(choose_bands(0.8, 128).rows)
reveal_type(dedup("clean", output="unique", method="exact"))
tokenizer.encode_batch([1])
dedup("clean", output="unique", threshhold=0.8)
dedup("clean", output="unique", method="exakt")
"""
REVEALED = [
    "list[int]",
    "list[list[int]]",
    "str",
    "list[str]",
    "tuple[corpusmill.dataproc.rules.rule.Rule, ...]",
    "numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.bool[bool]]]",  # the shape is what NumPy leaves open
    "numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.unsignedinteger[numpy._typing._nbit_base._32Bit]]]",
    "int",
    "typing.Mapping[str, Any]",  # JSON
]


def test_mypy_sees_the_types_of_the_everyday_names(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text(SNIPPET)
    cache = request.config.cache.mkdir("mypy") if request.config.cache else tmp_path / "cache"
    line = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--ignore-missing-imports",
            "--config-file=", f"--cache-dir={cache}", "snippet.py"]  # fmt: skip
    environment = {"MYPYPATH": str(ROOT / "src"), "PATH": ""}
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=600)
    assert re.findall(r'Revealed type is "(.*)"', done.stdout) == REVEALED, done.stdout + done.stderr
    errors = re.findall(r"snippet.py:\d+: error: (.*)", done.stdout)
    expected = ("nothing_like_it", 'expected "str"', 'Unexpected keyword argument "threshhold"', '"method"')
    assert all(part in error for part, error in zip(expected, errors, strict=True)), errors


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "src/corpusmill/py.typed").exists()
