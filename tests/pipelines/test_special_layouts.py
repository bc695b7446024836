"""A layout of special tokens in a file of the user's: YAML or JSON, read without running anything of it."""

import json
from pathlib import Path

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.special_layouts import MOST_BYTES, read_layout
from corpusmill.pipelines.stages.pack.work.encoding import load_encoder
from corpusmill.tokenizer.formats.shrinking import shrink_tokenizer
from corpusmill.tokenizer.formats.special_records import layout_record
from corpusmill.tokenizer.special import LAYOUTS, SpecialLayout
from tests.pipelines.test_stage_inputs import run

YAML = """
first: ["<s>"]
last:
  - <pad>
  - {text: "<r{}>", from: 1, to: 3}
roles: {bos: <s>, eos: <s>, pad: <pad>}
visible: [<r2>]
counted: false
"""
MINE = SpecialLayout(
    name="mine",
    first=("<s>",),
    last=("<pad>", "<r1>", "<r2>", "<r3>"),
    roles={"bos": "<s>", "eos": "<s>", "pad": "<pad>"},
    visible=frozenset({"<r2>"}),
    counted=False,
)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_preset_by_its_name(name: str) -> None:
    assert read_layout(name) is LAYOUTS[name]


def test_a_file_in_yaml_or_json(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(YAML)
    assert read_layout(str(tmp_path / "mine.yaml")) == MINE
    (tmp_path / "mine.json").write_text(json.dumps(layout_record(MINE)))
    assert read_layout(str(tmp_path / "mine.json")) == MINE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("first: [", "not YAML"),
        ("first: [a\x00b]", "not YAML"),
        (b"first: [\xff]", "not YAML"),
        ("!!python/object/apply:os.system ['false']", "not YAML"),
        ("first: 2024-99-99", "a value that YAML does not have"),
        ("{[1]: 2}", "not YAML|does not have"),
        ("", "a table of fields"),
        ("{}", "a layout without special tokens"),
        ("[" * 5000, "not YAML"),
        ("first: [x]", "'x' is spelled like an ordinary byte"),
        (" " * (MOST_BYTES + 1), "too large"),
    ],
)
def test_mistakes_name_the_file(content: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=message) as caught:
        read_layout(str(path))
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_what_is_neither_a_preset_nor_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no layout of special tokens 'deepseek'; give a YAML or JSON file, or one of"):
        read_layout("deepseek")
    with pytest.raises(UserError, match="this is a folder, not a file"):
        read_layout(str(tmp_path))


def test_a_tokenizer_is_trained_with_it_and_packs_where_its_roles_are_enough(tmp_path: Path) -> None:
    layout = tmp_path / "mine.yaml"
    layout.write_text(YAML)
    (tmp_path / "text.jsonl").write_text("\n".join(json.dumps({"text": f"the {n} foxes\n"}) for n in range(99)))
    run("ingest", tmp_path / "documents", inputs=[{"path": str(tmp_path / "text.jsonl")}])
    documents = [str(tmp_path / "documents")]
    run("tokenizer", tmp_path / "tokenizer", datasets=documents, vocab_size=300, special=str(layout))
    layout.unlink()
    special = load_encoder(str(tmp_path / "tokenizer")).special
    assert (special.bos, special.eos, special.fim_begin) == (0, 0, None)
    chosen = {"datasets": documents, "tokenizer": str(tmp_path / "tokenizer"), "sequence_length": 32}
    with pytest.raises(UserError, match="no special token for the role 'fim_begin', which fills in the middle"):
        run("pack", tmp_path / "shards", **chosen)
    with pytest.raises(UserError, match="'fim_begin'"):
        run("pack", tmp_path / "shards", **chosen, fim_rate=0, fim_rates={"code": 0.5})
    packed = run("pack", tmp_path / "shards", **chosen, fim_rate=0, bos=True)
    assert packed.manifest["counts"]["kept"] == 99
    # A tokenizer folder that no stage made has no manifest: it is known by what its own record says.
    small = str(tmp_path / "small")
    shrink_tokenizer(str(tmp_path / "tokenizer"), 290, small)
    chosen |= {"tokenizer": small, "fim_rate": 0}
    assert run("pack", tmp_path / "others", **chosen).manifest["counts"]["kept"] == 99
    shrink_tokenizer(str(tmp_path / "tokenizer"), 280, small)
    with pytest.raises(UserError, match="already made with other settings or inputs"):
        run("pack", tmp_path / "others", **chosen)


def test_a_changed_file_is_another_tokenizer(tmp_path: Path) -> None:
    layout = tmp_path / "mine.yaml"
    layout.write_text(YAML)
    (tmp_path / "text.jsonl").write_text(json.dumps({"text": "some foxes"}))
    run("ingest", tmp_path / "documents", inputs=[{"path": str(tmp_path / "text.jsonl")}])
    settings = {"datasets": [str(tmp_path / "documents")], "vocab_size": 300, "special": str(layout)}
    run("tokenizer", tmp_path / "tokenizer", **settings)
    layout.write_text(YAML.replace("<pad>", "<fill>"))
    with pytest.raises(UserError, match="already made with other settings or inputs: last changed since"):
        run("tokenizer", tmp_path / "tokenizer", **settings)
