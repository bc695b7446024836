"""YAML is read as plain values, and a key that stands twice is refused with both of its lines."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.flags import read_assignments
from corpusmill.pipelines.recipe import load_recipe
from corpusmill.pipelines.yaml_text import dump_yaml, load_yaml

LEAVES = st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=5)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab<é ", max_size=3), inner)
)


@given(VALUES)
@example("\x85")
@example({"a\u2028": "\n\u2029 b"})
def test_what_is_written_is_read_as_it_was(value: object) -> None:
    assert load_yaml(dump_yaml(value), "x") == value


@pytest.mark.parametrize(
    ("text", "key", "first", "second"),
    [
        ("a: 1\nb: 2\na: 3\n", "a", 1, 3),
        ("stages:\n  x:\n    k: 1\n    'k': 2\n", "k", 3, 4),
        ("- {a: 1, a: 1}\n", "a", 1, 1),
        ("1: a\n0x1: b\n", "0x1", 1, 2),
        ("x: &one\n  a: 1\ny:\n  <<: *one\n  b: 1\n  b: 2\n", "b", 5, 6),
        ("x: &one {a: 1}\ny:\n  <<: *one\n  <<: *one\n", "<<", 3, 4),
        ("? {a: 1,\n   a: 2}\n: b\n", "a", 1, 2),
        ('{"a": 1,\n "a": 2}', "a", 1, 2),
    ],
)
def test_a_key_that_stands_twice_is_refused(text: str, key: str, first: int, second: int) -> None:
    with pytest.raises(
        UserError, match=f"^f.yaml: the key '{key}' stands twice, on lines {first} and {second}; keep one"
    ):
        load_yaml(text, "f.yaml")


def test_a_merged_key_may_be_written_again() -> None:
    text = "x: &one {a: 1, b: 2}\ny: {<<: *one, a: 3}\nz: [*one, *one]\n"
    assert load_yaml(text, "x")["y"] == {"a": 3, "b": 2}


@pytest.mark.parametrize("text", ["a: [", "{[1]: 2}", "2024-13-45", "[" * 5000, b"\xff", "!!python/name:os.system"])
def test_what_is_no_yaml_is_one_line(text: str | bytes) -> None:
    with pytest.raises(UserError, match=r"^x: (not YAML|a value that YAML does not have)"):
        load_yaml(text, "x")


def test_recipes_and_flags_are_read_this_way(tmp_path) -> None:
    (tmp_path / "r.yaml").write_text("name: x\noutput: o\nstages:\n  filter: {}\n  filter: {}\n")
    with pytest.raises(UserError, match="'filter' stands twice, on lines 4 and 5"):
        load_recipe(str(tmp_path / "r.yaml"))
    with pytest.raises(UserError, match="--weights: 'a' is given twice"):
        read_assignments("a=1,b=2,a=3", "weights")
