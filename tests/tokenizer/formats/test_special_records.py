"""Layouts of special tokens as plain values: what is read, what comes back, and what is refused with one line."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.formats.special_records import layout_from_record, layout_record
from corpusmill.tokenizer.special import LAYOUTS, ROLES, SpecialLayout

spellings = st.text(st.sampled_from("<>|_{}01239｜x▁"), min_size=2, max_size=6)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_preset_is_the_same_after_a_journey_as_json(name: str) -> None:
    record = json.loads(json.dumps(layout_record(LAYOUTS[name])))
    assert layout_from_record(record, "here") == LAYOUTS[name]


def test_rows_of_numbered_tokens_are_kept_as_ranges() -> None:
    record = layout_record(LAYOUTS["deepseek-v3"])
    assert record["last"][0] == {"text": "<｜place▁holder▁no▁{}｜>", "from": 0, "to": 799}
    assert len(json.dumps(record)) < 4096


@given(st.lists(spellings, unique=True, min_size=1, max_size=12), st.integers(0, 12), st.booleans(), st.data())
def test_any_layout_comes_back_from_its_record(texts: list[str], cut: int, counted: bool, data: st.DataObject) -> None:
    numbered = [f"<n{number}>" for number in data.draw(st.lists(st.integers(0, 9), unique=True))]
    last = tuple(dict.fromkeys([*texts[cut:], *numbered]))
    first = tuple(text for text in texts[:cut] if text not in last)
    tokens = st.sampled_from([*first, *last])
    roles = data.draw(st.dictionaries(st.sampled_from(ROLES), tokens))
    layout = SpecialLayout("any", first, last, roles, data.draw(st.frozensets(tokens)), counted, 7)
    assert layout_from_record(json.loads(json.dumps(layout_record(layout))), "here") == layout


def test_what_a_record_leaves_out_has_a_default() -> None:
    layout = layout_from_record({"last": ["<end>", {"text": "<{}>", "from": 8, "to": 10}]}, "mine.yaml", "mine")
    assert layout == SpecialLayout(name="mine", last=("<end>", "<8>", "<9>", "<10>"))
    assert all(token.special for token in layout.tokens(300).tokens)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (["<s>"], "a table of fields"),
        ({"first": "<s>"}, "field first: not a list"),
        ({"first": ["<s>"], "frist": []}, "unknown field 'frist'"),
        ({"first": ["<s>"], "last": ["<s>"]}, "'<s>' occurs twice"),
        ({"first": [""]}, "must not be empty"),
        ({"last": ["a"]}, "'a' is spelled like an ordinary byte"),
        ({"last": ["Ġ"]}, "spelled like an ordinary byte"),
        ({"last": ["\ud800x"]}, "half of a surrogate pair"),
        ({"last": ["x" * 1025]}, "more than 1024 characters"),
        ({"last": [7]}, "7 is neither a spelling nor a range"),
        ({"last": [{"text": "<x>", "from": 0, "to": 2}]}, "is not a range"),
        ({"last": [{"text": "<{}>", "from": 2, "to": 1}]}, "from 2 to 1 is empty or too long"),
        ({"last": [{"text": "<{}>", "from": 0, "to": 10**12}]}, "too long"),
        ({"last": [{"text": f"<{n}-{{}}>", "from": 0, "to": 1 << 17} for n in range(9)]}, "more than 131,072"),
        ({"last": ["<s>"], "roles": []}, "field roles: not a table"),
        ({"last": ["<s>"], "roles": {"end": "<s>"}}, "unknown role 'end'; roles: bos, eos"),
        ({"last": ["<s>"], "roles": {"eos": "</s>"}}, "role 'eos' names '</s>', which is not a special token"),
        ({"last": ["<s>"], "roles": {"eos": ["<s>"]}}, "which is not a special token"),
        ({"last": ["<s>"], "visible": ["<t>"]}, "field visible"),
        ({"last": ["<s>"], "counted": 1}, "true or false"),
        ({"last": ["<s>"], "rows_multiple": 0}, "rows_multiple is 0"),
        ({"last": ["<s>"], "rows_multiple": True}, "rows_multiple is True"),
    ],
)
def test_mistakes_are_one_line_that_names_the_place(record: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        layout_from_record(record, "mine.yaml")
    assert message in str(caught.value) and str(caught.value).startswith("mine.yaml")
    assert "\n" not in str(caught.value)
