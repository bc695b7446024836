"""Refusals that name the place: keys inside lists, tokenizers of others, and the number of ids in words."""

from pathlib import Path

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.rules.reference import OWN_EXAMPLES
from corpusmill.pipelines.datasets import tokenizer_identity
from corpusmill.pipelines.registry import stage_type
from corpusmill.pipelines.settings import validate
from corpusmill.pipelines.stages.filter.plan import CustomRule
from corpusmill.pipelines.stages.tokenizer.plan import TokenizerStage
from corpusmill.tokenizer.formats.files import read_tokenizer


def refusal(stage: str, **values: object) -> str:
    with pytest.raises(UserError) as caught:
        validate(stage_type(stage).Settings, values, "r.yaml: s")
    return str(caught.value)


def test_a_wrong_key_inside_a_list_names_the_keys_there() -> None:
    rule = {"name": "long", "statistic": "word_count", "minium": 3}
    said = refusal("filter", datasets=["d"], custom_rules=[{"name": "a", "expression": "word_count > 1"}, rule])
    assert said.startswith("r.yaml: s.custom_rules[1].minium: no such key; the keys here are name, statistic, minimum")
    assert said.endswith("; did you mean 'minimum'?")
    assert "datasets" not in said
    said = refusal("ingest", inputs=[{"path": "a", "sauce": "b"}])
    assert said.startswith("r.yaml: s.inputs[0].sauce: no such key; the keys here are path, exclude, source")


def test_a_wrong_key_of_a_stage_still_names_its_settings() -> None:
    said = refusal("filter", datasets=["d"], rulez=["a"])
    assert said.startswith("r.yaml: s.rulez: no such setting; the settings are datasets, rules")


@pytest.mark.parametrize("rule", ["words", ["a"], 3])
def test_what_is_no_mapping_is_said_to_be_none(rule: object) -> None:
    said = refusal("filter", datasets=["d"], custom_rules=[rule])
    assert said == f"r.yaml: s.custom_rules[0]: {rule!r} is not a mapping; its keys are {', '.join(OWN)}"


OWN = list(CustomRule.model_fields)


def test_the_reference_of_own_rules_has_every_key_of_a_recipe() -> None:
    assert list(OWN_EXAMPLES) == OWN


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_tokenizer_of_another_library_is_to_be_imported_first(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "their tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}")
    path = str(folder / "tokenizer.json" if kind == "file" else folder)
    for refuses in (read_tokenizer, lambda path: tokenizer_identity(path, str)):
        with pytest.raises(UserError) as caught:
            refuses(path)
        assert f"corpusmill tokenizer import '{path}' --output tokenizer" in str(caught.value)
    with pytest.raises(UserError, match="it has no"):
        (folder / "other").mkdir()
        (folder / "other" / "file").touch()
        read_tokenizer(str(folder / "other"))
    with pytest.raises(UserError, match="no such tokenizer folder"):
        read_tokenizer(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("special", "said"),
    [
        ("deepseek-v3", "32,815 ids: 31,741 merges, 256 bytes, 818 special tokens; the last 815"),
        ("compact", "32,000 ids: "),
    ],
)
def test_the_ids_are_said_in_words_before_anything_is_learned(special: str, said: str) -> None:
    settings = TokenizerStage.Settings(datasets=["d"], vocab_size=32_000, special=special)
    assert TokenizerStage(settings).sizes().startswith(said)
