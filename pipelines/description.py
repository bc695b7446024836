"""A stage's description of itself, for the command line, estimates, summary, report and `inspect`.

Each stage's room (`pipelines/stages/<name>/`) has an `about.py` with one `StageDescription` a stage; nobody else knows
a stage by name (`pipelines/registry.py` finds them). Descriptions are read wherever a manifest is, so they import
nothing heavy: what needs the report or Arrow is named by "module:attribute" and imported when it is asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

Rows = list[tuple[str, str]]
"""(what, value) of a table."""

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Rates:
    """What a stage costs for each byte of text that it takes in, by `benchmarks/stage_rates.py`.

    Attributes:
        megabytes_per_second: of input text, one core.
        text_out: bytes of text (or of shards) that come out for each byte in.
        disk: bytes on disk for each byte in, intermediate files included.
        worker_megabytes: most resident memory of one worker at the default part size.
    """

    megabytes_per_second: float
    text_out: float
    disk: float
    worker_megabytes: int


@dataclass(frozen=True, kw_only=True)
class StageDescription:
    """One stage, as everybody but its own plan and work sees it.

    Attributes:
        name: in recipes and manifests.
        plan: "module:class" of its `Stage`.
        command: its words on the command line, after `corpusmill`; none for a stage that only others run.
        line: what it does, in the list of commands.
        help: what it does, in its own `--help`.
        example: a command line that works.
        positional: settings that are arguments and not flags.
        output: what `--help` calls its folder.
        command_module: module with an `app_for(name)` for a command with more than the settings' flags; "" for none.
        in_recipes: whether a recipe may name it.
        makes: what its folder is called: dataset, shards, tokenizer, model, …
        holds: what is in its folder, for whoever expected documents.
        reads: settings that name the folders which its text (or tokens) comes from.
        reads_tokens: those folders hold token shards, not documents.
        uses: settings that name other folders of ours: a tokenizer, a model, counts, an index.
        side_folders: folders beside its parts, other than quarantine/.
        keeps_ids: its documents have the ids, and its parts the numbers, of those that it read.
        rates: what it costs; None where its plan says so itself (`Stage.costs`).
        rows: of the summary table, from a manifest's counts and facts.
        causes: rows below those, of why documents were not kept, the commonest first; the report has charts of them.
        losses: causes for which documents were not kept, with their number, from the manifest; quarantine apart.
        tiles: the few numbers of it at the top of a report.
        inspection: "module:attribute" of its `pipelines.inspect.inspection.Inspection`; "" for none.
        report: "module:attribute" of its `pipelines.report.sections.StageReport`; "" for none.
        sampled: its time grows with its text, so `--dry-run` may time it on a sample of that.
        sampler: "module:function" that makes a sample of its raw input, as `pipelines/sampling.py` has it; "" for a
            stage that is simply run on one.
        preview: "module:function" from its stage to lines which `--dry-run` prints below the plan; "" for none.
        preview_ahead: module whose `plan_lines` and `plan_values` say the same before there is any input, from a stage
            over tokens and the length of its sequences; "" for none.
        progress: "module:function" from folder and plan to a line on how far unfinished work is, for `status`.
    """

    name: str
    plan: str
    command: tuple[str, ...] = ()
    line: str = ""
    help: str = ""
    example: str = ""
    positional: tuple[str, ...] = ("datasets",)
    output: str = "DATASET"
    command_module: str = ""
    in_recipes: bool = True
    makes: str = "dataset"
    holds: str = "documents"
    reads: tuple[str, ...] = ("datasets",)
    reads_tokens: bool = False
    uses: tuple[str, ...] = ()
    side_folders: tuple[str, ...] = ()
    keeps_ids: bool = False
    rates: Rates | None = None
    rows: Callable[[Mapping[str, int], Mapping[str, Any]], Rows]
    causes: Callable[[Mapping[str, int], Mapping[str, Any]], Rows] = lambda counts, facts: []
    losses: Callable[[Manifest], list[tuple[str, int]]] | None = None
    tiles: Callable[[Manifest], Rows] = lambda manifest: []
    inspection: str = ""
    report: str = ""
    sampled: bool = False
    sampler: str = ""
    preview: str = ""
    preview_ahead: str = ""
    progress: str = ""

    @property
    def has_documents(self) -> bool:
        """Whether its folder is a dataset of documents."""
        return self.makes == "dataset"


def load(target: str) -> Any:
    """The attribute that "module:attribute" names."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def document_rows(counts: Mapping[str, int]) -> Rows:
    """Documents in, and what became of them; fates that befell none are left out."""
    return [(key.replace("_", " "), f"{value:,}") for key, value in counts.items() if value or key == "documents_in"]


def count_and_share(count: int, whole: int) -> str:
    """A count and its share of a whole, in columns when several stand to the right below each other."""
    return f"{count:,} {count / max(whole, 1):>6.1%}"


def decimal(value: float | None) -> str:
    """A measure to three places; "-" where it could not be taken."""
    return "-" if value is None else f"{value:.3f}"


def no_losses(manifest: Manifest) -> list[tuple[str, int]]:
    """Of a stage that takes documents in and rejects none."""
    return []
