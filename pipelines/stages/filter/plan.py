"""Filter: every document is measured once, kept or rejected by rules over the measurements, and rewritten if kept.

One task a part, and parts keep their numbers. Beside the kept documents stand `_rejected/` (the documents, with the
names of all rules they broke), `_ledger/` (a row for each broken rule: id, rule, value, threshold), `_statistics/`
(every number of every document), so thresholds can be judged again without reading text, and `_rewrites/` (which
rewriter changed which document, and its bytes before and after), where one is in force.
"""

from collections.abc import Callable
from typing import Any

from pydantic import Field

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.finding import find_files
from corpusmill.pipelines.datasets import listed
from corpusmill.pipelines.engine.stage import (
    DOCUMENT_SECONDS,
    DocumentSeconds,
    PhasePlan,
    StageRun,
    StageSettings,
    Summary,
    add_counts,
)
from corpusmill.pipelines.stages.filter.arguments import FilterWork, ProviderSettings
from corpusmill.pipelines.stages.parts import PartsStage

EMBEDDED = "embedded"
"""The language model that a library brings with it."""

KEEP_IF = "keep-if"
"""The name of the rule that the setting `keep_if` makes."""

GIVEN_FOR = {
    "url": ("url_lists", "add the preset: rules: [url]"),
    "words": ("word_list", "add the preset: rules: [toxicity]"),
}
"""(setting, hint) for lists that only some rules look at."""


class CustomRule(StageSettings):
    """A rule of the user's own: over one statistic, or an expression over columns that must hold."""

    name: str = Field(description="its name in the ledger")
    statistic: str | None = Field(default=None, description="a column of the statistics")
    minimum: float | None = Field(default=None, description="broken below this")
    maximum: float | None = Field(default=None, description="broken above this")
    expression: str | None = Field(
        default=None,
        description="an expression that is true of documents to keep: word_count >= 50 and language == 'en'",
    )
    kinds: tuple[str, ...] | None = Field(default=None, description="kinds it applies to; all if left out")
    languages: tuple[str, ...] | None = Field(default=None, description="languages it applies to; all if left out")


class FilterSettings(StageSettings):
    """Settings of `corpusmill filter`."""

    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    rules: tuple[str, ...] = Field(
        default=("gopher-quality", "gopher-repetition", "fineweb", "code"),
        description="presets of rules, or rules of presets (--show lists them), or your own functions: module:function",
    )
    measures: tuple[str, ...] = Field(
        default=(),
        description="extra measures that no rule uses: your own functions, as module:function",
    )
    rewrite: tuple[str, ...] = Field(
        default=(),
        description="rewriters of kept documents, in order, after those of the presets; or your own functions",
    )
    thresholds: dict[str, float] = Field(
        default={}, description="thresholds that override those of preset rules, by rule"
    )
    keep_if: str | None = Field(
        default=None, description="an expression that must be true, such as \"word_count >= 50 or source == 'poems'\""
    )
    custom_rules: tuple[CustomRule, ...] = Field(
        default=(), description="rules of your own", json_schema_extra={"recipe_only": True}
    )
    rewriter_settings: dict[str, dict[str, Any]] = Field(
        default={},
        description="settings of rewriters and of your functions, by name",
        json_schema_extra={"recipe_only": True},
    )
    token_ngrams: bool = Field(
        default=False, description="measure datatrove's n-grams of tokens even if no rule uses them"
    )
    document_columns: tuple[str, ...] = Field(
        default=(), description="numeric columns of the input that rules use, such as quality_score"
    )
    url_lists: dict[str, str] = Field(
        default={},
        description="files for the preset url: domains, subdomains, urls, words, soft-words, substrings, allowed",
    )
    word_list: str | None = Field(
        default=None, description="words that the preset toxicity looks for: a file, or a folder of <language>.txt"
    )
    language_model: str | None = Field(
        default=None,
        description=f"'{EMBEDDED}', or a fastText language model; fills `language` where the input gave none",
    )
    languages: tuple[str, ...] = Field(default=(), description="keep only these languages (does not apply to code)")
    minimum_language_score: float = Field(default=0.65, description="minimum score for a language to count", ge=0, le=1)
    document_seconds: DocumentSeconds = DOCUMENT_SECONDS


class FilterStage(PartsStage):
    """Documents to kept documents, rejected documents, statistics, ledger and rewrites."""

    name = "filter"
    version = 3
    Settings = FilterSettings
    settings: FilterSettings

    @property
    def kernels(self) -> tuple[str, ...]:  # type: ignore[override]
        """The one pass, and what the measures and rewriters in force call."""
        from corpusmill.dataproc.measures.functions import is_function
        from corpusmill.dataproc.measures.providers import LANGUAGE, ONE_PASS, warmups_of

        work = self.work()
        used = [provider.name for provider in [*work.measures, *work.rewriters] if not is_function(provider.name)]
        return tuple(warmups_of([ONE_PASS, *used, *([LANGUAGE] if work.language_model else [])]))

    def is_unbounded(self) -> bool:
        from corpusmill.dataproc.measures.functions import is_function
        from corpusmill.dataproc.measures.providers import PROVIDERS

        work = self.work()
        names = [provider.name for provider in (*work.measures, *work.rewriters)]
        if any(name.startswith("__main__:") for name in names):  # of a notebook or script: no other process has it
            return False
        return any(is_function(name) or name not in PROVIDERS or name == "code" for name in names)

    def check_inputs(self, folder: str) -> None:
        super().check_inputs(folder)
        self.check()

    def inputs(self) -> dict[str, Any]:
        identities = super().inputs()
        for name in self._files():
            opened = self.resolve(name)
            identities[name] = {path: storage.identity(path) for path, _ in find_files(opened)}
        return identities | self._functions()

    def _functions(self) -> dict[str, dict[str, str]]:
        """The user's own functions, whose source the outputs depend on."""
        from corpusmill.dataproc.measures.functions import is_function, source_digest

        named = (*self.settings.rules, *self.settings.measures, *self.settings.rewrite)
        return {name: {f"source of {name}": source_digest(name)} for name in named if is_function(name)}

    def _files(self) -> list[str]:
        """Models and lists that the settings name."""
        settings = self.settings
        model = settings.language_model if settings.language_model != EMBEDDED else None
        return [path for path in (model, settings.word_list, *settings.url_lists.values()) if path]

    def needs(self) -> list[tuple[str, str]]:
        model = self.settings.language_model
        return [("fasttext", "fasttext")] if model and model != EMBEDDED else []

    def require_files(self, made: Callable[[str], bool]) -> None:
        for name in self._files():
            find_files(self.resolve(name))

    def check(self) -> None:
        from corpusmill.dataproc.measures.providers import build_measure, build_rewriter

        work = self.work()  # building checks their settings, and loads nothing
        for provider in work.measures:
            build_measure(provider.name, provider.settings)
        for provider in work.rewriters:
            build_rewriter(provider.name, provider.settings)

    def _custom_rules(self) -> list[dict[str, Any]]:
        rules = [rule.model_dump(exclude_none=True) for rule in self.settings.custom_rules]
        if self.settings.keep_if:
            rules.append({"name": KEEP_IF, "expression": self.settings.keep_if})
        return rules

    def work(self) -> FilterWork:
        """Rules, measures and rewriters in force. Raises UserError for an unknown name."""
        from corpusmill.dataproc.rules import resolve_filter

        settings = self.settings
        configured: dict[str, dict[str, Any]] = dict(settings.rewriter_settings)
        if settings.url_lists:
            configured["url"] = {"lists": {name: self.resolve(path) for name, path in settings.url_lists.items()}}
        if settings.word_list:
            configured["words"] = {"path": self.resolve(settings.word_list)}
        model = settings.language_model or (EMBEDDED if settings.languages else None)
        if model:
            configured["language"] = {}
        plan = resolve_filter(
            settings.rules,
            dict(settings.thresholds),
            self._custom_rules(),
            measures=settings.measures,
            rewrite=settings.rewrite,
            configured=configured,
            columns=settings.document_columns,
        )
        for name in sorted(configured.keys() - {*plan.measures, *plan.rewriters, "language"}):
            where, hint = GIVEN_FOR.get(name, (f"rewriter_settings, {name}", f"add it: rewrite: [{name}]"))
            raise UserError("this is set, but no rule uses it", where, hint)
        return FilterWork(
            rules=tuple(plan.rules),
            measures=tuple(ProviderSettings(name=name, settings=configured.get(name, {})) for name in plan.measures),
            rewriters=tuple(ProviderSettings(name=name, settings=configured.get(name, {})) for name in plan.rewriters),
            token_ngrams=plan.token_ngrams or settings.token_ngrams,
            document_columns=settings.document_columns,
            language_model=self.resolve(model) if model and model != EMBEDDED else model,
            languages=settings.languages,
            minimum_language_score=settings.minimum_language_score,
        )

    def phases(self) -> list[PhasePlan]:
        return [self.phase_over_parts("measure")]

    def run(self, run: StageRun) -> Summary:
        from corpusmill.dataproc.rules import rule_to_dict

        work = self.work()
        tasks = self.part_tasks("corpusmill.pipelines.stages.filter.work.filtering:filter_part", work)
        results = run.map("measure", tasks)
        broken = {rule.name: 0 for rule in work.rules}
        rewritten = {rewriter.name: 0 for rewriter in work.rewriters}
        not_asked: dict[str, int] = {}
        for result in results:
            for totals, counts in (
                (broken, result["rejected_by"]),
                (rewritten, result["rewritten_by"]),
                (not_asked, result["not_asked"]),
            ):
                for rule, count in counts.items():
                    totals[rule] = totals.get(rule, 0) + count
        return Summary(
            counts=add_counts(results, ["documents_in", "kept", "rejected", "quarantined"]),
            parts=listed(results, "parts"),
            files=listed(results, "files"),
            facts={"documents_that_broke": broken, "rules_in_force": [rule_to_dict(rule) for rule in work.rules]}
            | ({"documents_rewritten": rewritten} if rewritten else {})
            | ({"documents_not_asked": dict(sorted(not_asked.items()))} if not_asked else {}),
        )
