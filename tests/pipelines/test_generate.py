"""`corpusmill model generate` and its Python call: text of a run, a checkpoint, an average, an imported model."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.main import app
from corpusmill.pipelines.generation import TextGenerator
from corpusmill.training.checkpoint.checkpoints import Checkpoints
from tests.pipelines.test_model import run  # noqa: F401

PROMPTS = ["the river", "a letter in the"]


@pytest.fixture
def call(monkeypatch, capsys):
    """The command in this process: what it printed."""

    def called(*arguments: object) -> str:
        words = ["model", "generate", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", ["corpusmill", *words])
        app(words, standalone_mode=False)
        return capsys.readouterr().out

    return called


def test_texts_do_not_depend_on_batches_or_drafts_and_streams_add_up(run: Path, tmp_path: Path) -> None:  # noqa: F811
    writer = TextGenerator(run, tmp_path / "tokenizer", threads=1)
    how = {"most_tokens": 12, "temperature": 1.5, "seed": 4, "samples": 2}
    wanted = writer.generate(PROMPTS, **how)
    assert [text.prompt for text in wanted] == [PROMPTS[0], PROMPTS[0], PROMPTS[1], PROMPTS[1]]
    assert wanted[0].ids != wanted[1].ids, "samples differ"
    for other in ({"batch": 1}, {"batch": 3, "drafts": True}):
        assert [text.ids for text in writer.generate(PROMPTS, **how, **other)] == [text.ids for text in wanted]
    streamed = ["", "", "", ""]
    for piece in writer.stream(PROMPTS, **how):
        streamed[piece.number] += piece.text
    assert streamed == [text.text for text in wanted]
    for text in wanted:
        spelled = b"".join(writer.tokenizer.token_bytes(token) for token in text.ids if token > 2)
        assert text.text == spelled.decode(errors="replace") or "�" in text.text or "▁" in spelled.decode()


def test_a_character_cut_between_tokens_is_shown_once_it_is_whole(run: Path, tmp_path: Path) -> None:  # noqa: F811
    """The model is made to write the bytes of one character for ever: each piece is whole characters."""
    writer = TextGenerator(run, tmp_path / "tokenizer", threads=1)
    ids = writer.tokenizer.encode("€")
    assert len(ids) == 3
    model = writer.trained.model
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("wo.weight", "w2.weight", "w2")):
                parameter.zero_()
        model.norm.weight.fill_(1.0)
        model.embed.weight.zero_()
        model.head.weight.zero_()
        for number, token in enumerate(ids):
            model.embed.weight[token, number] = 1.0
            model.head.weight[ids[(number + 1) % 3], number] = 1.0
    pieces = [piece.text for piece in writer.stream(["€"], most_tokens=8)]
    assert pieces == ["€", "€", "�"], "the last character never ended"


def test_checkpoints_averages_and_imported_models_write(run: Path, tmp_path: Path, call) -> None:  # noqa: F811
    tokenizer = ("--tokenizer", tmp_path / "tokenizer", "--json", "--max-tokens", "5", "-p", PROMPTS[0])
    from_run = json.loads(call(run, *tokenizer))
    described, weights = json.loads((run / "config.json").read_text()), load_file(run / "model.safetensors")

    biases = {name for name in weights if name.endswith("gate.bias")}
    other = {name: tensor.flip(0).contiguous() for name, tensor in weights.items() if name not in biases}
    state = {"step": 3, "run": {"model": described["model"], "shards": described["shards"]}}
    saved = {f"model.{name}": tensor for name, tensor in weights.items()}
    saved |= {f"average.{name}": tensor for name, tensor in other.items()}
    checkpoints = Checkpoints(run / "checkpoints", 1)
    checkpoints.save(saved, state)
    checkpoints.wait()
    save_file(other, str(run / "average.safetensors"))
    checkpoint = run / "checkpoints" / "step-000003"
    assert json.loads(call(checkpoint, *tokenizer)) == from_run
    averaged = json.loads(call(run, *tokenizer, "--average"))
    assert averaged["ids"] != from_run["ids"]
    assert json.loads(call(checkpoint, *tokenizer, "--average")) == averaged
    by_hand = tmp_path / "by-hand"
    shutil.copytree(run, by_hand, ignore=shutil.ignore_patterns("checkpoints"))
    save_file(weights | other, str(by_hand / "model.safetensors"))
    assert json.loads(call(by_hand, *tokenizer)) == averaged, "router biases are the trained ones"

    from corpusmill.training.huggingface.folder import export_run, import_run

    export_run(run, tmp_path / "out")
    import_run(tmp_path / "out", tmp_path / "back")
    assert json.loads(call(tmp_path / "back", *tokenizer)) == from_run


def test_the_command_shows_text_and_never_what_controls_a_terminal(run: Path, tmp_path: Path, call) -> None:  # noqa: F811
    tokenizer = ("--tokenizer", tmp_path / "tokenizer", "--max-tokens", "30", "--temperature", "30")
    shown = call(run, *tokenizer, "-p", "the\x1b[2J river")
    assert shown.startswith("the␛[2J river") and shown.endswith("\n")
    several = call(run, *tokenizer, *(word for prompt in PROMPTS for word in ("-p", prompt)), "--speculative")
    assert "1: the river" in several and "drafted tokens accepted" in several
    for text in (shown, several):
        assert all(character in "\n\t" or character >= " " for character in text)
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS) + "\n")
    lines = call(run, *tokenizer, "--prompts", tmp_path / "prompts.txt", "--json", "--samples", "2").splitlines()
    assert [(json.loads(line)["number"], json.loads(line)["sample"]) for line in lines] == [
        (0, 0),
        (1, 1),
        (2, 0),
        (3, 1),
    ]


def test_mistakes_are_named(run: Path, tmp_path: Path, call) -> None:  # noqa: F811
    tokenizer = ("--tokenizer", tmp_path / "tokenizer")
    for arguments, message in (
        ((run, *tokenizer), "no prompt"),
        ((run, "-p", "x"), "not known here"),
        ((run, *tokenizer, "-p", "x", "--average"), "no moving average"),
        ((run, *tokenizer, "-p", "x", "--stop", "nonsense"), "no special token"),
        ((run, *tokenizer, "-p", "x", "--dtype", "int4"), "number format"),
        ((tmp_path / "tokenizer", *tokenizer, "-p", "x"), "config.json"),
    ):
        with pytest.raises(UserError, match=message):
            call(*arguments)
