"""Conversations of other formats: what is taken as which turns, and what is refused with which reason."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.conversations.messages import Refused, turns_of_record
from corpusmill.dataproc.conversations.turns import ARGUMENTS, ASSISTANT, CALL, SYSTEM, TOOL, USER, turns_of
from corpusmill.dataproc.readers.chat import read_chat
from corpusmill.dataproc.readers.pieces import Fields, Piece

ASK, ANSWER = {"role": "user", "content": "2 + 3 ="}, {"role": "assistant", "content": "5"}


def call(name="add", arguments='{"a": 2}', **more):
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


def test_both_shapes_give_the_same_turns():
    openai = {"messages": [{"role": "system", "content": "Add."}, ASK, ANSWER]}
    sharegpt = {
        "system": "Add.",
        "conversations": [{"from": "human", "value": "2 + 3 ="}, {"from": "gpt", "value": "5"}],
    }
    wanted = [(SYSTEM, "Add."), (USER, "2 + 3 ="), (ASSISTANT, "5")]
    assert turns_of_record(openai) == turns_of_record(sharegpt) == wanted


def test_parts_that_are_texts_are_joined():
    parts = [{"type": "text", "text": "2 + "}, {"type": "text", "text": "3 ="}]
    assert turns_of_record({"messages": [{"role": "user", "content": parts}, ANSWER]})[0].text == "2 + 3 ="


def test_calls_are_turns_behind_a_message_that_may_have_no_words():
    messages = [
        ASK,
        {"role": "assistant", "content": None, "tool_calls": [call(id="x"), call("sub", {"a": "é"}, id="y")]},
        {"role": "tool", "content": "5", "tool_call_id": "x"},
        {"role": "tool", "content": "", "tool_call_id": "y"},
        ANSWER,
    ]
    assert turns_of_record({"messages": messages})[1:] == [
        (ASSISTANT, ""), (CALL, "add"), (ARGUMENTS, '{"a": 2}'), (CALL, "sub"), (ARGUMENTS, '{"a": "é"}'),
        (TOOL, "5"), (TOOL, ""), (ASSISTANT, "5"),
    ]  # fmt: skip


def test_sharegpt_says_calls_as_json():
    messages = [("human", "go"), ("function_call", '{"name": "add", "arguments": {"a": 2}}'), ("observation", "5")]
    turns = turns_of_record({"conversations": [{"from": who, "value": said} for who, said in messages]})
    assert turns == [(USER, "go"), (ASSISTANT, ""), (CALL, "add"), (ARGUMENTS, '{"a": 2}'), (TOOL, "5")]


BAD = [
    ({"text": "hello"}, "no list 'messages' or 'conversations'"),
    ({"messages": []}, "no messages"),
    ({"messages": ["hi"]}, "message 1 is not an object"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "message 1 has the role 'wizard'"),
    ({"messages": [{"role": ["user"], "content": "x"}]}, "message 1 has the role"),
    ({"messages": [ASK]}, "no answer by an assistant"),
    ({"messages": [ANSWER, ASK]}, "does not begin with a user"),
    ({"messages": [ASK, {"role": "assistant", "content": None}]}, "message 2 says nothing"),
    ({"messages": [{"role": "user", "content": ""}, ANSWER]}, "message 1 says nothing"),
    ({"messages": [ASK, ANSWER, {"role": "system", "content": "x"}]}, "system message that is not the first"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, ANSWER]}, "parts that are not text"),
    ({"messages": [{"role": "user", "content": 5}, ANSWER]}, "holds a int"),
    ({"messages": [{"role": "user", "content": "␞1 user"}, ANSWER]}, "contains ␞"),
    ({"messages": [ASK, {**ANSWER, "weight": 0}]}, "weight 0"),
    ({"messages": [{**ASK, "tool_calls": [call()]}, ANSWER]}, "not an assistant's"),
    ({"messages": [ASK, {"role": "tool", "content": "5"}]}, "a call that was not made"),
    ({"messages": [ASK, {**ANSWER, "tool_calls": [call("no way")]}]}, "without a name"),
    ({"messages": [ASK, {**ANSWER, "tool_calls": [call()]}, ASK]}, "before the results"),
    (
        {"messages": [ASK, {**ANSWER, "tool_calls": [call(id="a")]}, {"role": "tool", "tool_call_id": "b"}]},
        "not of the next call",
    ),
    ({"messages": [ASK, ANSWER], "tools": [{"type": "function"}]}, "declares tools"),
    ({"conversations": [{"from": "narrator", "value": "x"}]}, "from 'narrator'"),
    ({"conversations": [{"from": "human", "value": "x"}, {"from": "function_call", "value": "{"}]}, "not JSON"),
]


@pytest.mark.parametrize(("record", "reason"), BAD)
def test_what_is_refused_has_its_reason(record, reason):
    with pytest.raises(Refused, match=reason):
        turns_of_record(record)


def read(path):
    bad = []
    piece = Piece(path=str(path), name=path.name, format="chat", bytes=path.stat().st_size)
    batches = list(read_chat(piece, Fields(source="talk", kind="chat"), lambda *values: bad.append(values)))
    return pa.Table.from_batches(batches).to_pylist(), bad


def test_files_of_lines_json_and_parquet_give_the_same_documents(tmp_path):
    records = [
        {"id": f"c{n}", "messages": [ASK, {"role": "assistant", "content": f"{n}"}], "topic": "sums"} for n in (1, 2)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, [*records, {"messages": []}])) + "\n{broken\n")
    (tmp_path / "a.json").write_text(json.dumps(records))
    pq.write_table(pa.Table.from_pylist([*records, {"id": "c3", "messages": []}]), tmp_path / "a.parquet")
    lines, bad = read(tmp_path / "a.jsonl")
    assert [row["id"] for row in lines] == ["c1", "c2"]
    assert turns_of(lines[1]["text"]) == [(USER, "2 + 3 ="), (ASSISTANT, "2")]
    assert lines[0]["meta"] == '{"topic":"sums"}'
    assert lines[0]["kind"] == "chat"
    assert [reason for _, _, reason, _ in bad] == ["no messages", bad[1][2]]
    assert bad[1][2].startswith("not JSON")
    assert read(tmp_path / "a.json") == (lines, [])
    rows, bad = read(tmp_path / "a.parquet")
    assert rows == lines
    assert [values[1:3] for values in bad] == [(f"{tmp_path / 'a.parquet'}, row 2", "no messages")]
