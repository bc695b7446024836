"""`corpusmill tokenizer import|shrink` as a user meets them, and the report on tokenizers from elsewhere."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.report.tokenizers import open_tokenizer
from corpusmill.tokenizer import Tokenizer
from corpusmill.tokenizer.formats.files import read_tokenizer
from corpusmill.tokenizer.measurable import HuggingFaceTokenizer, OurTokenizer
from corpusmill.tokenizer.vocabulary import byte_characters
from tests.pipelines.road import environment
from tests.pipelines.window.server import served

TEXTS = ["def main():\n    return 12345\n", "naïve façade, 中文。", "<|endoftext|>"] * 3
END = "<|endoftext|>"


def corpusmill(*arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "corpusmill", "tokenizer", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), check=False, timeout=120)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with GPT-2's kind of `tokenizer.json`, and the same as a file of ranks."""
    folder = tmp_path_factory.mktemp("foreign")
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator([Path(tokenizers.__file__).read_text("utf-8")], trainer)
    made.add_special_tokens([END, "<|im_end|>"])
    made.save(str(folder / "tokenizer.json"))
    byte_of = {character: byte for byte, character in enumerate(byte_characters())}
    vocab = json.loads((folder / "tokenizer.json").read_bytes())["model"]["vocab"]
    lines = [(bytes(byte_of[character] for character in token), number) for token, number in vocab.items()]
    (folder / "ranks").write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % number for token, number in lines))
    return folder


def library_ids(foreign: Path) -> list[list[int]]:
    library = tokenizers.Tokenizer.from_file(str(foreign / "tokenizer.json"))
    library.encode_special_tokens = True
    return [library.encode(text, add_special_tokens=False).ids for text in TEXTS]


def test_import_makes_a_folder_with_the_same_ids_and_prints_the_roles(foreign: Path, tmp_path: Path) -> None:
    done = corpusmill("import", foreign, "--output", tmp_path / "made", "--role", "pad=<|im_end|>")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{tmp_path / 'made'}: 602 ids, 344 merges, 640 embedding rows, pattern gpt2, 2 special tokens",
        "eos 600 <|endoftext|>",
        "pad 601 <|im_end|>",
    ]
    loaded = Tokenizer.load(str(tmp_path / "made"))
    assert loaded.encode(pa.array(TEXTS)).to_pylist() == library_ids(foreign)
    imported = read_tokenizer(str(tmp_path / "made")).training["training"]["imported"]
    assert imported["file"] == str(foreign / "tokenizer.json")
    again = corpusmill("import", foreign, "--output", tmp_path / "made")
    assert again.returncode == 2 and "already exists" in again.stderr and again.stderr.count("\n") == 1


def test_import_of_ranks_takes_pattern_and_special_tokens(foreign: Path, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("<|im_end|>: 601\n")
    options = ("--pattern", "gpt2", "--special", f"{END}=600", "--special", tmp_path / "more.yaml")
    done = corpusmill("import", foreign / "ranks", "--output", tmp_path / "made", *options)
    assert done.returncode == 0, done.stderr
    loaded = Tokenizer.load(str(tmp_path / "made"))
    assert loaded.encode(pa.array(TEXTS)).to_pylist() == library_ids(foreign)
    assert loaded.special.ids == {END: 600, "<|im_end|>": 601} and loaded.special.roles == {"eos": 600}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), "does not say how text is split"),
        (("--pattern", "gpt2", "--regex", "a"), "only one of these can be given"),
        (("--pattern", "gpt2", "--special", "nothing"), "neither SPELLING=ID nor a file"),
        (("--pattern", "gpt2", "--special", "<a>=600", "--special", "<a>=601"), "'<a>' is given twice"),
        (("--pattern", "gpt2", "--special", "<a>=5"), "the id 5 of '<a>' is taken"),
        (("--pattern", "gpt2", "--role", "eos"), "not ROLE=SPELLING"),
        (("--pattern", "gpt9"), "unknown pretoken pattern 'gpt9'"),
    ],
)
def test_mistakes_are_one_line(options: tuple[str, ...], reason: str, foreign: Path, tmp_path: Path) -> None:
    done = corpusmill("import", foreign / "ranks", "--output", tmp_path / "made", *options)
    assert done.returncode == 2 and reason in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "made").exists()


def test_a_text_on_which_the_regular_expression_gives_up_costs_one_line_that_names_its_file(
    foreign: Path, tmp_path: Path
) -> None:
    content = json.loads((foreign / "tokenizer.json").read_text())
    split = {"type": "Split", "pattern": {"Regex": "(?:\\w*a){20}b|[^a]"}, "behavior": "Isolated", "invert": False}
    plain = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, plain]}
    (tmp_path / "slow.json").write_text(json.dumps(content))
    (tmp_path / "good.txt").write_text("good")
    (tmp_path / "bad.txt").write_text("a" * 5000)
    assert corpusmill("import", tmp_path / "slow.json", "--output", tmp_path / "slow").returncode == 0
    done = corpusmill("encode", tmp_path / "slow", tmp_path / "good.txt", tmp_path / "bad.txt")
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 2
    assert last.startswith(f"corpusmill: {tmp_path}/bad.txt: the tokenizer's regular expression gave up")
    assert "Traceback" not in done.stderr
    assert len(json.loads(done.stdout)) > 1


def test_shrink_keeps_the_first_ids(foreign: Path, tmp_path: Path) -> None:
    assert corpusmill("import", foreign, "--output", tmp_path / "made").returncode == 0
    done = corpusmill("shrink", tmp_path / "made", "--vocab-size", 400, "--output", tmp_path / "small")
    assert done.returncode == 0, done.stderr
    assert "402 ids, 144 merges" in done.stdout and "eos 400 <|endoftext|>" in done.stdout
    large, small = read_tokenizer(str(tmp_path / "made")), read_tokenizer(str(tmp_path / "small"))
    assert small.vocabulary.tokens.equals(large.vocabulary.tokens[:400])
    assert (small.vocabulary.merges == large.vocabulary.merges[:144]).all()
    done = corpusmill("shrink", tmp_path / "made", "--vocab-size", 700, "--output", tmp_path / "none")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not (tmp_path / "none").exists()


def test_the_report_measures_what_can_be_imported_as_ours(foreign: Path, tmp_path: Path) -> None:
    for opened in (
        open_tokenizer(str(foreign)),
        open_tokenizer(str(foreign / "tokenizer.json")),
        open_tokenizer(str(foreign / "ranks"), "gpt2"),
    ):
        assert isinstance(opened, OurTokenizer)
        assert opened.encode(pa.array(TEXTS)).to_pylist() == library_ids(foreign)
    with pytest.raises(UserError, match="does not say how text is split"):
        open_tokenizer(str(foreign / "ranks"))
    words = tokenizers.Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    words.save(str(tmp_path / "words.json"))
    assert isinstance(open_tokenizer(str(tmp_path / "words.json")), HuggingFaceTokenizer)
    with pytest.raises(UserError, match="no such tokenizer"):
        open_tokenizer(str(tmp_path / "none"))


@pytest.mark.parametrize("command", ["import", "shrink"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = corpusmill(command, "--help")
    assert done.returncode == 0 and f"Example: corpusmill tokenizer {command} " in done.stdout


def test_the_page_of_a_tokenizer_cuts_as_it_does(foreign: Path, tmp_path: Path) -> None:
    assert corpusmill("import", foreign / "tokenizer.json", "--output", tmp_path / "made").returncode == 0
    text = "def main():\n    return <|endoftext|>"
    ids = Tokenizer.load(str(tmp_path / "made")).encode(text)
    with served([str(tmp_path / "made")]) as window:
        window.enter()
        page = window.get(f"/at/made/stage/made/tokenizer?text={quote(text)}&holds=import").text
        tokens = window.get("/at/made/stage/made/tokenizer?holds=import&format=json").text.splitlines()
    assert f'<p class="dim">{len(ids)} tokens' in page
    assert [int(number) for number in re.findall(r'class="token c\d" title="(\d+)"', page)] == list(ids)
    assert tokens and all("import" in json.loads(line)["token"] for line in tokens)
