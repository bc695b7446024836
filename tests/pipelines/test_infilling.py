"""Holes in code: where they are cut, what the model is given, and that only a line right to the letter counts."""

import pytest

from corpusmill.dataproc.randomness import random_key
from corpusmill.pipelines import infilling
from corpusmill.pipelines.generation import TextGenerator
from corpusmill.training.generation import generate as generation
from tests.pipelines.test_evaluate import TEXTS, dataset  # noqa: F401
from tests.pipelines.test_model import run  # noqa: F401


@pytest.mark.parametrize("key", range(4))
def test_a_hole_is_a_whole_line_and_nothing_else_is_lost(key: int) -> None:
    text = "def f():\n    return 1\n\n}\nprint(f())"
    before, line, after = infilling._hole(text, key)
    assert before + line + after == text
    assert line in ("def f():", "    return 1", "print(f())")
    assert infilling._hole("}\n\n{", key) is None


def test_documents_are_drawn_by_the_keys_of_their_ids(dataset, monkeypatch):  # noqa: F811
    monkeypatch.setattr(infilling, "CODE", "book")
    keys = {name: random_key(0, "infilling", name) for name in ("b", "d")}
    first = min(keys, key=keys.__getitem__)
    assert list(infilling._code(str(dataset), 1)) == [(TEXTS[first], keys[first])]
    assert sorted(key for _, key in infilling._code(str(dataset), 9)) == sorted(keys.values())


def test_only_lines_that_are_right_to_the_letter_count(run, dataset, tmp_path, monkeypatch):  # noqa: F811
    writer = TextGenerator(run, tmp_path / "tokenizer", threads=1)
    special, decode = writer.tokenizer.special, writer.tokenizer.decode
    monkeypatch.setattr(infilling, "CODE", "book")  # the kind of documents b and d
    monkeypatch.setattr(infilling, "MOST_TOKENS", 40)
    seen = []

    def written(model, prompts, wanted):
        """A model that knows one of the two lines."""
        texts = []
        for prompt in prompts:
            hole = prompt.index(special.fim_hole)
            assert prompt[0] == special.fim_begin and prompt[-1] == special.fim_end
            assert len(prompt) + 40 <= max(writer.length, 45)
            seen.append((decode(prompt[1:hole]), decode(prompt[hole + 1 : -1])))
            ids = [*writer.tokenizer.encode(TEXTS["b"]), special.eos]
            texts.append(generation.Text(prompt, "", ids=ids, ended="stop"))
        return texts

    monkeypatch.setattr(generation, "generate", written)
    made = infilling.evaluate_infilling(writer, str(dataset), 10)
    assert seen and all(pair == ("", "") for pair in seen), "each document is one line"
    assert (made.holes, made.exact) in ((1, 1), (2, 1)) and made.exact_match == made.exact / made.holes


def test_the_prompt_keeps_what_is_nearest_to_the_hole(run, tmp_path):  # noqa: F811
    writer = TextGenerator(run, tmp_path / "tokenizer", threads=1)
    special, encode = writer.tokenizer.special, writer.tokenizer.encode
    before, after = "the river and " * 30, " the stone" * 30
    prompt = infilling._prompt(writer, before, "x", after)
    hole = prompt.index(special.fim_hole)
    first, second = prompt[1:hole], prompt[hole + 1 : -1]
    assert first and encode(before)[-len(first) :] == first
    assert second and encode(after)[: len(second)] == second
