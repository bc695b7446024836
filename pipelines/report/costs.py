"""Time, core-hours and dollars by stage, and what each host did; the numbers are `pipelines/inspect/cost.py`'s."""

from collections.abc import Sequence
from typing import Any

from corpusmill.pipelines.engine.progress import clock
from corpusmill.pipelines.inspect.cost import HostWork, StageCost, stage_cost
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.visible import one_line

HOSTS_SHOWN = 60


def costs(stages: Sequence[StageOutput], price: float | None) -> dict[str, Any]:
    """What the template shows; `price` in dollars a core-hour, None for none."""
    known = [(stage, cost) for stage in stages if (cost := stage_cost(stage.folder, stage.manifest)).tasks]
    rows = [_row(one_line(stage.name, 80), cost, price) for stage, cost in known]
    if len(rows) > 1:
        rows.append(_row("all stages", _sum([cost for _, cost in known]), price))
    hosts = _hosts(known)
    columns = [("stage", ""), ("time", "n"), ("core-hours", "n")]
    columns += [("dollars", "n")] if price is not None else []
    return {
        "rows": rows,
        "columns": [*columns, ("tasks", "n"), ("tasks that were retried", "n"), ("engine", "")],
        "priced": price is not None,
        "note": _note(price, any(cost.estimated for _, cost in known)),
        "hosts": hosts[:HOSTS_SHOWN],
        "hidden_hosts": max(0, len(hosts) - HOSTS_SHOWN),
    }


def _note(price: float | None, estimated: bool) -> str:
    note = "A core-hour is an hour of one core at a task: waiting, starting up and failed attempts are not in it."
    if estimated:
        note += " Where a stage has many tasks they are estimated from 256 of each phase, evenly spaced."
    if price is None:
        return f"{note} For dollars, write the report with --core-hour-price, or set core_hour_price in the recipe."
    return f"{note} Dollars at ${price:g} a core-hour."


def _sum(parts: Sequence[StageCost]) -> StageCost:
    return StageCost(
        seconds=sum(part.seconds or 0.0 for part in parts),
        tasks=sum(part.tasks for part in parts),
        retried=sum(part.retried for part in parts),
        core_seconds=sum(part.core_seconds for part in parts),
    )


def _row(name: str, cost: StageCost, price: float | None) -> dict[str, Any]:
    return {
        "stage": name,
        "seconds": "" if cost.seconds is None else f"{cost.seconds:.1f}",
        "time": "–" if cost.seconds is None else clock(cost.seconds),
        "core_seconds": f"{cost.core_seconds:.1f}",
        "core_hours": _hours(cost.core_seconds),
        "dollars": "" if price is None else _money(cost.dollars(price)),
        "tasks": f"{cost.tasks:,}",
        "retried": f"{cost.retried:,}",
        "engine": one_line(cost.engine, 80),
    }


def _hosts(known: Sequence[tuple[StageOutput, StageCost]]) -> list[dict[str, str]]:
    """Hosts by falling work."""
    whole = sum(cost.core_seconds for _, cost in known) or 1.0
    work: dict[str, HostWork] = {}
    stages: dict[str, list[str]] = {}
    for stage, cost in known:
        for host, part in cost.hosts.items():
            together = work.setdefault(host, HostWork())
            together.tasks += part.tasks
            together.core_seconds += part.core_seconds
            stages.setdefault(host, []).append(one_line(stage.name, 40))
    ranked = sorted(work.items(), key=lambda item: (-item[1].core_seconds, item[0]))
    return [
        {
            "name": one_line(host, 80),
            "tasks": f"{done.tasks:,.0f}",
            "core_hours": _hours(done.core_seconds),
            "share": f"{100 * done.core_seconds / whole:.1f} %",
            "mean": f"{done.core_seconds / max(done.tasks, 1):,.2f}",
            "stages": ", ".join(stages[host]),
        }
        for host, done in ranked
    ]


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.1f}" if hours >= 100 else f"{hours:,.4f}" if hours < 1 else f"{hours:,.2f}"


def _money(dollars: float) -> str:
    if 0 < dollars < 0.0001:
        return "under 0.0001"
    return f"{dollars:,.2f}" if dollars >= 1 else f"{dollars:.4f}"
