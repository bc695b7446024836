"""The graph of a run: a box for each stage, in columns by how far it is from what was ingested, and lines between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from corpusmill.pipelines.engine import state
from corpusmill.pipelines.inspect.places import read_plan

WIDTH, HEIGHT, ACROSS, DOWN = 148, 44, 32, 16


@dataclass(frozen=True)
class Box:
    """A stage, with the upper left corner of its box."""

    name: str
    stage: str
    x: int
    y: int


@dataclass(frozen=True)
class Graph:
    """Boxes, the paths of lines between them, and the size of the whole."""

    boxes: list[Box]
    paths: list[str]
    width: int
    height: int


def graph_of(stages: Sequence[tuple[str, str]]) -> Graph:
    """The graph of stages by (name, folder), in the order of the run."""
    known = dict(stages)
    described = {name: state.read_manifest(folder) or read_plan(folder) or {} for name, folder in stages}
    inputs = {name: _inputs(values, name, known) for name, values in described.items()}
    column: dict[str, int] = {}
    for name in known:
        column[name] = 1 + max((column[one] for one in inputs[name] if one in column), default=-1)
    rows: dict[int, int] = {}
    boxes: dict[str, Box] = {}
    for name in known:
        row = rows.get(column[name], 0)
        rows[column[name]] = row + 1
        x, y = column[name] * (WIDTH + ACROSS), row * (HEIGHT + DOWN)
        boxes[name] = Box(name, str(described[name].get("stage", "?")), x + 1, y + 1)
    paths = [_path(boxes[one], boxes[name]) for name in known for one in inputs[name] if column[one] < column[name]]
    columns, most = max(column.values(), default=0) + 1, max(rows.values(), default=0)
    return Graph(
        list(boxes.values()), paths, columns * (WIDTH + ACROSS) - ACROSS + 2, most * (HEIGHT + DOWN) - DOWN + 2
    )


def _inputs(values: Mapping[str, object], name: str, known: Mapping[str, str]) -> list[str]:
    inputs = values.get("inputs")
    names = [str(one).rstrip("/").rsplit("/", 1)[-1] for one in inputs] if isinstance(inputs, Mapping) else []
    return [one for one in dict.fromkeys(names) if one in known and one != name]


def _path(start: Box, end: Box) -> str:
    x, y, to_x, to_y = start.x + WIDTH, start.y + HEIGHT // 2, end.x, end.y + HEIGHT // 2
    bend = (to_x - ACROSS // 2, x + ACROSS // 2)
    return f"M{x} {y}C{bend[1]} {y} {bend[0]} {to_y} {to_x} {to_y}"
