"""Puts the page together: gathers what each finished stage has to say and fills the template.

Everything that comes out of documents (ids, sources, excerpts) goes through `visible`, and the template escapes every
value. Only the charts, which hold no such text, go in as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.progress import clock
from corpusmill.pipelines.engine.stage import our_version
from corpusmill.pipelines.inspect.visible import one_line
from corpusmill.pipelines.report.charts import length_chart
from corpusmill.pipelines.report.flow import OVER_DOCUMENTS, waterfall
from corpusmill.pipelines.report.lengths import length_histogram
from corpusmill.pipelines.report.removals import SoleRules, largest_clusters, rule_lines, sole_rules
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.report.templates import as_markup, template
from corpusmill.pipelines.report.training import training_section
from corpusmill.pipelines.summary import boundary_splits, summary_rows

PAGE = "report/index.html"
SOURCES_SHOWN = 20
Rows = list[tuple[str, str]]


def write_report(folder: str, name: str, stage_folders: Sequence[tuple[str, str]], output: str | None = None) -> str:
    """Writes the page on a run; gives its path.

    Args:
        folder: of the run; the page is `report/index.html` in it.
        name: of the run, for people.
        stage_folders: (name, folder) of the stages in order; those that are not finished are only named.
        output: another path for the page.

    Raises UserError when jinja2 or matplotlib is missing, or when no stage is finished.
    """
    page_template = template("page.html")
    finished, missing = [], []
    for stage_name, stage_folder in stage_folders:
        manifest = state.read_manifest(stage_folder)
        if manifest is None:
            missing.append(one_line(stage_name))
        else:
            finished.append(StageOutput(stage_name, stage_folder, manifest))
    if not finished:
        raise UserError("no stage is finished yet", where=folder, hint="see corpusmill status")
    only = {stage.name: sole_rules(stage) for stage in finished if stage.stage == "filter"}
    page = page_template.render(
        name=one_line(name),
        version=our_version(),
        missing=missing,
        tiles=_tiles(finished),
        summaries=[(one_line(stage.name), stage.stage, _summary(stage)) for stage in finished],
        bars=waterfall(finished, only),
        sections=[section for place, stage in enumerate(finished) if (section := _section(stage, place, only))],
        times=_times(finished),
    )
    path = output or storage.join(folder, PAGE)
    storage.commit_bytes(path, page.encode())
    return path


def _tiles(stages: Sequence[StageOutput]) -> Rows:
    """The few numbers that say what the run made."""
    tiles: Rows = []
    over_documents = [each for each in stages if each.stage in OVER_DOCUMENTS]
    if over_documents:
        tiles.append(("documents in", f"{over_documents[0].counts['documents_in']:,}"))
        tiles.append(("documents kept", f"{over_documents[-1].counts['kept']:,}"))
    for stage in stages:
        if stage.stage == "tokenizer":
            tiles.append(("token ids", f"{stage.facts['ids']:,}"))
        elif stage.stage == "pack":
            tiles.append(("tokens", f"{stage.counts['tokens']:,}"))
        elif stage.stage == "train":
            tiles.append(("parameters", f"{stage.facts['parameters']['total']:,}"))
            if stage.facts.get("validation_loss") is not None:
                tiles.append(("held-back loss", f"{stage.facts['validation_loss']:.3f}"))
    return tiles


def _summary(stage: StageOutput) -> Rows:
    """The rows of the summary table without the rules, which are a chart here."""
    rows = summary_rows(stage.manifest)
    rules = ("  broke ", "  and ")
    return [(one_line(what), value) for what, value in rows if not what.startswith(rules)]


def _section(stage: StageOutput, place: int, only: Mapping[str, SoleRules]) -> dict[str, Any] | None:
    """What the template needs to know about one stage; None for a stage without a section of its own."""
    gather: dict[str, Callable[[StageOutput], dict[str, Any]]] = {
        "filter": partial(_filter, place=place, only=only.get(stage.name)),
        "dedup": _dedup,
        "tokenizer": _tokenizer,
        "pack": _pack,
        "train": partial(training_section, place=place),
    }
    if stage.stage not in gather:
        return None
    return {"kind": stage.stage, "name": one_line(stage.name)} | gather[stage.stage](stage)


def _filter(stage: StageOutput, place: int, only: SoleRules) -> dict[str, Any]:
    rules = rule_lines(stage, only)
    lengths = length_histogram(stage)
    return {
        "rules": rules,
        "most": max((rule.broke for rule in rules), default=1),
        "lengths": as_markup(length_chart(f"lengths{place}", lengths)) if lengths else None,
        "read": stage.share_read("statistics"),
    }


def _dedup(stage: StageOutput) -> dict[str, Any]:
    facts = stage.facts
    rows = [
        ("candidate pairs", f"{facts['candidate_pairs']:,}"),
        ("verified pairs", f"{facts['verified_pairs']:,}"),
        ("clusters", f"{facts['clusters']:,}"),
        ("documents in the largest", f"{facts['largest_cluster']:,}"),
        ("bands × rows", f"{facts['bands']} × {facts['rows']}"),
    ]
    sizes = [
        (f"{int(size):,} to {2 * int(size) - 1:,}", count) for size, count in facts.get("cluster_sizes", {}).items()
    ]
    between = [
        (one_line(removed, 80), one_line(kept, 80), count)
        for removed, row in facts.get("duplicate_sources", {}).items()
        for kept, count in row.items()
    ]
    return {
        "facts": rows,
        "clusters": largest_clusters(stage),
        "read": stage.share_read("duplicates"),
        "sizes": sizes,
        "sources": sorted(between, key=lambda row: (-row[2], row))[:SOURCES_SHOWN],
    }


def _tokenizer(stage: StageOutput) -> dict[str, Any]:
    counts, facts, settings = stage.counts, stage.facts, stage.manifest["settings"]
    rows = [
        ("ids", f"{facts['ids']:,}"),
        ("merges", f"{facts['merges']:,}"),
        ("rows of a model's embedding", f"{facts['model_rows']:,}"),
        ("pattern", one_line(str(settings["pattern"]))),
        ("special tokens", one_line(str(settings["special"]))),
        ("pretokens", f"{counts['pretokens']:,}"),
        ("unique pretokens", f"{counts['unique_pretokens']:,}"),
        ("bytes per token, on a sample", f"{facts['bytes_per_token']:.3f}"),
        ("fingerprint", one_line(str(facts["fingerprint"]))),
    ]
    return {"facts": rows}


def _pack(stage: StageOutput) -> dict[str, Any]:
    counts, facts, settings = stage.counts, stage.facts, stage.manifest["settings"]
    kept = max(counts["kept"], 1)
    packed = max(counts["kept"] - counts["validation_documents"], 1)
    rows = [
        ("sequences", f"{counts['sequences']:,} of {settings['sequence_length']:,} tokens"),
        ("policy", one_line(str(settings["packing"]))),
        ("fill", f"{facts['fill']:.3%}"),
        ("padding", f"{counts['padding']:,} tokens"),
        ("documents cut", f"{counts['cut']:,} ({counts['cut'] / packed:.1%})"),
        ("cut though they would fit", f"{counts['cut_needlessly']:,}"),
        *_against_concat(facts.get("packing"), packed),
        ("rearranged to fill in the middle", f"{counts['fim_documents']:,} ({counts['fim_documents'] / kept:.1%})"),
        ("tokens split at boundaries", boundary_splits(counts, facts)),
        ("bytes per token", f"{facts['bytes_per_token']:.3f}"),
        ("held back", f"{counts['validation_documents']:,} documents, {counts['validation_sequences']:,} sequences"),
    ]
    return {"facts": rows, "tables": _token_tables(facts["tokens_by"])}


def _against_concat(packing: Mapping[str, Any] | None, documents: int) -> list[tuple[str, str]]:
    """What packing saved: tokens without their context, and what cutting a stream every L tokens would have done."""
    if packing is None:  # a set of before version 2
        return []
    plain = packing["concat"]
    return [
        ("tokens that lost context", f"{packing['lost_context']:.1%}, in a cut stream {plain['lost_context']:.1%}"),
        ("documents a cut stream would cut", f"{plain['cut']:,} ({plain['cut'] / documents:.1%})"),
        ("of them would fit", f"{plain['cut_needlessly']:,}"),
    ]


def _token_tables(tokens_by: Mapping[str, Mapping[str, int]]) -> list[tuple[str, list[tuple[str, int, float]]]]:
    """(column, (value, tokens, percent) by falling tokens) for source, kind and language."""
    tables = []
    for column in ("source", "kind", "language"):
        tokens = tokens_by.get(column, {})
        total = max(sum(tokens.values()), 1)
        ranked = sorted(tokens.items(), key=lambda item: (-item[1], item[0]))
        rows = [
            (one_line("unknown" if value == "None" else value, 80), count, 100 * count / total)
            for value, count in ranked
        ]
        if rows:
            tables.append((column, rows))
    return tables


def _times(stages: Sequence[StageOutput]) -> list[tuple[str, str, float, str]]:
    """(stage, time, percent of the whole, engine); only of those whose time is known."""
    known = []
    for stage in stages:
        path = stage.path(f"{state.STATE}/seconds.json")
        if storage.exists(path):
            known.append((one_line(stage.name), state.read_json(path)))
    total = sum(entry["seconds"] for _, entry in known) or 1.0
    return [
        (name, clock(entry["seconds"]), 100 * entry["seconds"] / total, one_line(entry["engine"]))
        for name, entry in known
    ]
