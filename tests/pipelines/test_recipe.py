"""Recipes: what is read, what is refused in one line, and that every example is a recipe."""

from pathlib import Path

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.recipe import KEPT, kept_name, load_recipe

EXAMPLES = Path(__file__).parents[2] / "examples"
RECIPES = [path for path in sorted(EXAMPLES.glob("*.yaml")) if not path.read_text().count("\nkind: RayJob\n")]

GOOD = """
name: small
output: out
seed: 7
stages:
  documents:
    stage: ingest
    inputs: [text.jsonl]
    part_bytes: 2MiB
  filter:
    datasets: [documents]
"""


@pytest.fixture
def write(tmp_path: Path):
    def go(text: str) -> str:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return str(path)

    return go


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_example_is_a_recipe(path: Path) -> None:
    assert load_recipe(str(path)).stages


def test_names_of_earlier_stages_become_their_folders(write) -> None:
    recipe = load_recipe(write(GOOD), output="/runs/one")
    ingest, filtered = recipe.stages
    assert (ingest.name, ingest.stage.name, ingest.folder) == ("documents", "ingest", "/runs/one/documents")
    assert filtered.stage.name == "filter", "the kind of stage may be left out where the name says it"
    assert filtered.stage.resolve("documents") == "/runs/one/documents"
    assert filtered.stage.resolve("/elsewhere/documents") == "/elsewhere/documents"
    assert ingest.stage.settings.part_bytes == 2 << 20
    assert ingest.stage.seed == 7


def test_changes_are_checked_like_the_file(write) -> None:
    recipe = load_recipe(write(GOOD), changes=["documents.part_bytes=1MiB", "filter.rules=[fineweb]", "seed=9"])
    assert recipe.stages[0].stage.settings.part_bytes == 1 << 20
    assert recipe.stages[1].stage.settings.rules == ("fineweb",)
    assert recipe.seed == 9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("documents.part_bytes=3Q", "documents.part_bytes: '3Q' is not a size; write a number and a unit, as in 64MiB"),
        ("documents.prat_bytes=1MiB", "documents.prat_bytes: no such setting; the settings are source, kind"),
        ("nothing.rules=[a]", "--set nothing.rules: no stage or key 'nothing' in this recipe"),
        ("documents", "--set: 'documents' is not KEY=VALUE"),
        ("filter.minimum_language_score=2", "filter.minimum_language_score: Input should be less than or equal to 1"),
        ("filter.stage=sieve", "no stage 'sieve'; name one with 'stage:'; the stages are ingest, filter"),
        ("filter.stage=[filter]", "no stage '['filter']'"),
        ("documents.inputs=[", "--set documents.inputs: not YAML ("),
        ("output=", "output: Input should be a valid string"),
        ("output=''", "output: String should have at least 1 character"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(write, change: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe(write(GOOD), changes=[change])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- a\n- b\n", "name: [", "name: x\noutput: y\nstages: {}\n", "just words"])
def test_what_is_not_a_recipe_is_refused(write, text: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe(write(text))
    assert "\n" not in str(caught.value)


def test_yaml_makes_no_objects(write, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not YAML"):
        load_recipe(write(f"name: !!python/object/apply:os.mkdir ['{tmp_path}/made']\noutput: x\nstages: {{}}"))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", ".hidden", "_state", "report", '""'])
def test_a_stage_is_named_like_a_folder_of_its_own(write, name: str) -> None:
    with pytest.raises(UserError, match="cannot be a stage's name"):
        load_recipe(write(GOOD.replace("documents:", f"{name}:", 1)))


def test_a_run_is_called_as_its_recipe_calls_it(tmp_path: Path) -> None:
    assert kept_name(str(tmp_path)) == ""
    (tmp_path / KEPT).parent.mkdir()
    (tmp_path / KEPT).write_text("name: books of 2026\noutput: elsewhere\nstages: {}\n")
    assert kept_name(str(tmp_path)) == "books of 2026"
