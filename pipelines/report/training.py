"""What the report says about a training run: facts, curves, how experts share the load, what FP8 cuts off, speed."""

import json
from typing import Any

import numpy as np

from corpusmill.dataproc import storage
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.html.environment import as_markup
from corpusmill.pipelines.report.charts import VARIABLES
from corpusmill.pipelines.report.curves import FP8_ENDS, FP8_KINDS, Curves, read_curves, read_spikes
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.report.training_charts import (
    STYLES,
    fp8_chart,
    line_chart,
    load_map,
    loss_chart,
    source_chart,
    violation_map,
)
from corpusmill.pipelines.visible import excerpt, one_line

MORE_SOURCES = 40
SPIKES_SHOWN = 20
SAMPLES_SHOWN, SAMPLE_CHARACTERS = 4, 600


def training_section(stage: StageOutput, place: int) -> dict[str, Any]:
    """What the template needs to know about a finished run.

    Args:
        stage: of the kind `train`.
        place: number of the stage on the page, by which the charts' ids differ from those of other runs.
    """
    curves = read_curves(stage.folder)
    spikes, count = read_spikes(stage.folder)
    section: dict[str, Any] = {"heading": "Training", "fp8": None}
    section |= {"facts": _facts(stage, curves, count), "loss": None, "averaged": 1, "convention": None}
    section |= {"small": [], "maps": [], "sources": None, "spikes": [], "samples": _samples(stage)}
    if curves is None:
        return section
    charts = _Charts(place)
    section |= {
        "loss": as_markup(
            loss_chart(
                charts.name("loss"), curves, stage.facts.get("unigram_loss"), [spike["step"] for spike in spikes]
            )
        ),
        "averaged": curves.steps_per_point,
        "small": _small(curves, charts),
        "maps": _maps(stage, curves, charts),
        "sources": _sources(curves, charts),
        "spikes": [_spike(spike) for spike in spikes[:SPIKES_SHOWN]],
        "fp8": _fp8(curves, charts),
    }
    if _known(curves.times["mfu"]):
        # Where the number stands, its convention does.
        from corpusmill.training.watching.throughput import MFU_CONVENTION

        section["convention"] = MFU_CONVENTION
    return section


def _samples(stage: StageOutput) -> list[dict[str, str]]:
    """Prompts and how the model went on; none of a run that wrote no samples."""
    path = stage.path("samples.json")
    if not any(entry["path"] == "samples.json" for entry in stage.manifest["files"]) or not storage.exists(path):
        return []
    shown = json.loads(storage.read_bytes(path))[:SAMPLES_SHOWN]
    return [{name: excerpt(sample[name], SAMPLE_CHARACTERS) for name in ("prompt", "completion")} for sample in shown]


class _Charts:
    """Names of charts that no other run on the page has."""

    def __init__(self, place: int) -> None:
        self.place = place

    def name(self, chart: str) -> str:
        return f"{chart}{self.place}"


def _known(values: np.ndarray) -> bool:
    return bool((~np.isnan(values)).any())


def _facts(stage: StageOutput, curves: Curves | None, spikes: int) -> list[tuple[str, str]]:
    facts = stage.facts
    rows = [
        ("preset", one_line(str(facts["preset"]))),
        ("parameters", f"{facts['parameters']['total']:,}"),
        ("steps", f"{facts['steps']:,}"),
        ("tokens seen", f"{facts['tokens']:,}"),
        ("epochs", f"{facts['epochs']:.3f}"),
        ("GFLOPs per token", f"{facts['gigaflops_per_token']:.3f}"),
    ]
    if facts.get("validation_bits_per_byte") is not None:
        rows.append(("held-back bits per byte", f"{facts['validation_bits_per_byte']:.3f}"))
    if curves is not None:
        times = curves.times
        if _known(times["tokens_per_second"]):
            rows.append(("tokens per second, median", f"{np.nanmedian(times['tokens_per_second']):,.0f}"))
        if _known(times["mfu"]):
            rows.append(("MFU, median", f"{np.nanmedian(times['mfu']):.1%}"))
        if _known(times["memory_bytes"]):
            rows.append(("peak memory of a rank", f"{np.nanmax(times['memory_bytes']) / 2**30:,.2f} GiB"))
    if spikes:
        rows.append(("loss spikes", f"{spikes:,}"))
    return rows


def _small(curves: Curves, charts: _Charts) -> list[tuple[str, Any]]:
    """The charts of one line each; those that would be empty, or flat at 0, are left out."""
    metrics, times = curves.columns, curves.times
    wanted = [
        ("rate", "Learning rate", metrics["step"], metrics["learning_rate"]),
        ("norm", "Gradient norm", metrics["step"], metrics["gradient_norm"]),
        ("speed", "Tokens per second", times["step"], times["tokens_per_second"]),
        ("mfu", "MFU", times["step"], times["mfu"]),
        ("experts", "Excess load of the busiest expert", metrics["step"], metrics["expert_max_violation"]),
    ]
    batch = metrics["batch_sequences"]
    if _known(batch) and np.nanmin(batch) != np.nanmax(batch):
        wanted.insert(1, ("batch", "Sequences a step", metrics["step"], batch))
    return [
        (title, as_markup(line_chart(charts.name(name), title, steps, values, name == "mfu", name == "norm")))
        for name, title, steps, values in wanted
        if np.nan_to_num(values).any()
    ]


def _maps(stage: StageOutput, curves: Curves, charts: _Charts) -> list[tuple[str, str, Any]]:
    """(title, note, chart) of what is known about experts' loads."""
    maps = []
    routers = curves.violations.shape[1]
    if routers:
        chart = violation_map(charts.name("violations"), curves, _router_names(stage, routers))
        note = "Highest load over the mean load of a layer's experts in a step, less 1: 0 is even."
        maps.append(("Balance by layer", note, as_markup(chart)))
    if curves.loads is not None:
        step, shares = curves.loads
        chart = load_map(charts.name("loads"), shares, _router_names(stage, len(shares)))
        note = (
            f"In step {step:,}, in multiples of an even load: of all experts chosen by a layer's router, one's share."
        )
        maps.append(("Load of the experts", note, as_markup(chart)))
    return maps


def _router_names(stage: StageOutput, count: int) -> list[str]:
    """The layers with a router, numbered as in the weights' names, MTP's modules last."""
    path = stage.path("config.json")
    model = state.read_json(path).get("model", {}) if storage.exists(path) else {}
    dense, layers = model.get("n_dense_layers", 0), model.get("n_layers")
    main = count if layers is None else min(count, layers - dense)
    return [str(dense + number) for number in range(main)] + [f"MTP {number}" for number in range(count - main)]


def _sources(curves: Curves, charts: _Charts) -> dict[str, Any] | None:
    """Bits per byte by source: the chart, and a row for each source; None where nothing was measured."""
    measured = {name: curve for name, curve in curves.by_source.items() if len(curve[0])}
    if not measured:
        return None
    names = list(measured)
    shown = names[: len(STYLES)]
    rows = []
    for number, name in enumerate(names[:MORE_SOURCES]):
        colour, dashes = STYLES[number] if number < len(shown) else (None, "")
        average = curves.average_by_source.get(name)
        rows.append(
            {
                "name": one_line(name, 80),
                "line": _look(colour, dashes) if colour else None,
                "first": float(measured[name][1][0]),
                "last": float(measured[name][1][-1]),
                "average": float(average[1][-1]) if average is not None and len(average[1]) else None,
            }
        )
    return {
        "chart": as_markup(source_chart(charts.name("sources"), [measured[name] for name in shown])),
        "rows": rows,
        "averaged": any(row["average"] is not None for row in rows),
        "hidden": max(0, len(names) - MORE_SOURCES),
    }


def _look(colour: str, dashes: str) -> str:
    """Classes of a line in a legend, by the style sheet's names of colours."""
    name = VARIABLES[colour].removeprefix("--")
    return f"{name} dashed" if dashes == "dashed" else name


def _fp8(curves: Curves, charts: _Charts) -> dict[str, Any] | None:
    """Saturated and flushed values: charts over the steps, and the last and the highest share of each layer."""
    if not curves.fp8:
        return None
    drawn = [
        (
            f"{end.capitalize()}, mean of layers",
            as_markup(fp8_chart(charts.name(f"fp8{end}"), end, *_over_layers(curves, place))),
        )
        for place, end in enumerate(FP8_ENDS)
    ]
    columns = [("layer", "")]
    columns += [(f"{kind} {end}, last", "n") for end in FP8_ENDS for kind in FP8_KINDS]
    columns += [(f"most {end}", "n") for end in FP8_ENDS]
    rows = []
    for layer, (_, shares) in curves.fp8.items():
        last = [_share(shares[-1, kind, end]) for end in range(len(FP8_ENDS)) for kind in range(len(FP8_KINDS))]
        known = np.nan_to_num(shares, nan=0.0)
        rows.append((one_line(layer, 40), [*last, *(_share(known[:, :, end].max()) for end in range(len(FP8_ENDS)))]))
    kinds = [(kind, _look(colour, dashes)) for kind, (colour, dashes) in zip(FP8_KINDS, STYLES, strict=False)]
    return {"charts": drawn, "columns": columns, "rows": rows, "kinds": kinds}


def _over_layers(curves: Curves, end: int) -> tuple[np.ndarray, np.ndarray]:
    """(steps, shares [steps, kinds]): means over the layers that were counted in a step."""
    sums: dict[int, list[np.ndarray]] = {}
    for steps, shares in curves.fp8.values():
        for step, row in zip(steps.tolist(), shares[:, :, end], strict=True):
            sums.setdefault(step, []).append(row)
    order = sorted(sums)
    means = [np.ma.masked_invalid(np.array(sums[step])).mean(axis=0).filled(np.nan) for step in order]
    return np.array(order, np.float64), np.array(means)


def _share(value: float) -> str:
    """A share in percent with three digits; those that are tiny keep them."""
    return "–" if np.isnan(value) else f"{100 * value:.3g} %"


def _spike(line: dict[str, Any]) -> tuple[str, str, str, str]:
    """(step, loss, why, what was done) of a spike."""
    loss = "not finite" if line["loss"] is None else f"{line['loss']:.3f}"
    return f"{line['step']:,}", loss, one_line(str(line["why"]), 120), one_line(str(line["done"]), 40)
