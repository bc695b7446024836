"""Boosted trees in a file of text, and a kernel that asks them.

The file is our own artefact: a line for each tree after the head, its nodes in order. A split is "feature:threshold"
and goes on with the next node where the value is at most the threshold, else with the node whose number follows behind
"/"; a leaf is "=value". Thresholds and values are decimal numbers that float32 reads back exactly. A score is the sum
of the leaves by the logistic function.

Cost: a comparison for each level of each tree, a block. The nodes of a tree lie together in its reading order.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.compiling import kernel_in_place

FORMAT = "corpusmill extraction model 1"
FILE = Path(__file__).with_name("model.txt")


class Forest(NamedTuple):
    """Trees: nodes int32 (nodes, 2): feature (-1 in a leaf) and the other child; values float32: threshold or leaf;
    roots int32 (trees,)."""

    nodes: np.ndarray
    values: np.ndarray
    roots: np.ndarray


class Model(NamedTuple):
    """The forests of both passes, the thresholds of pages and of those that call themselves articles, the features."""

    first: Forest
    second: Forest
    threshold: float
    article_threshold: float
    features: tuple[str, ...]


@kernel_in_place
def score_rows(matrix, nodes, values, roots, scores):
    """scores float32 (N,) of the rows of `matrix` float32 (N, features)."""
    for row in range(len(matrix)):
        total = np.float32(0.0)
        for root in roots:
            node = np.int64(root)
            feature = nodes[node, 0]
            while feature >= 0:
                if matrix[row, feature] <= values[node]:
                    node += 1
                else:
                    node = np.int64(nodes[node, 1])
                feature = nodes[node, 0]
            total += values[node]
        scores[row] = np.float32(1.0) / (np.float32(1.0) + np.exp(-total))


def tree_line(tree: Any) -> str:
    """A tree of LightGBM's `dump_model` as a line of the file."""
    tokens: list[str] = []

    def add(node: Any) -> None:
        if "leaf_value" in node:
            tokens.append(f"={np.float32(node['leaf_value'])!s}")
            return
        threshold = np.float32(node["threshold"])
        if float(threshold) > node["threshold"]:
            threshold = np.nextafter(threshold, np.float32(-np.inf))
        place = len(tokens)
        tokens.append("")
        add(node["left_child"])
        tokens[place] = f"{node['split_feature']}:{threshold!s}/{len(tokens)}"
        add(node["right_child"])

    add(tree["tree_structure"])
    return " ".join(tokens)


def read_forest(lines: Iterable[str]) -> Forest:
    """The trees of lines."""
    nodes: list[tuple[int, int]] = []
    values: list[float] = []
    roots: list[int] = []
    for line in lines:
        root = len(nodes)
        roots.append(root)
        for token in line.split():
            if token[0] == "=":
                nodes.append((-1, 0))
                values.append(float(token[1:]))
            else:
                feature, _, rest = token.partition(":")
                threshold, _, other = rest.partition("/")
                nodes.append((int(feature), root + int(other)))
                values.append(float(threshold))
    return Forest(np.array(nodes, np.int32).reshape(-1, 2), np.array(values, np.float32), np.array(roots, np.int32))


def model_text(
    first: Sequence[str], second: Sequence[str], thresholds: tuple[float, float], names: Sequence[str], note: str
) -> str:
    """The file of a model."""
    head = [FORMAT, f"# {note}", f"thresholds {thresholds[0]} {thresholds[1]}", f"features {' '.join(names)}"]
    return "\n".join([*head, f"first {len(first)}", *first, f"second {len(second)}", *second, ""])


def read_model(text: str, names: Sequence[str], where: str) -> Model:
    """The model of a file. Raises UserError for another format, or for one made for other features."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    if lines[0] != FORMAT:
        raise UserError(
            "this is no extraction model of this version", where, "train one with scripts/train_extractor.py"
        )
    threshold, article_threshold = map(float, lines[1].split()[1:])
    features = tuple(lines[2].split()[1:])
    if features != tuple(names):
        raise UserError("the model was trained on other features", where, "train one with scripts/train_extractor.py")
    count = int(lines[3].split()[1])
    return Model(
        read_forest(lines[4 : 4 + count]), read_forest(lines[5 + count :]), threshold, article_threshold, features
    )


@cache
def load_model() -> Model:
    """Our own model, read once a process."""
    from corpusmill.dataproc.extraction.features import NAMES
    from corpusmill.dataproc.extraction.second import SECOND_NAMES

    return read_model(FILE.read_text(), NAMES + SECOND_NAMES, str(FILE))


def score(matrix: np.ndarray, forest: Forest) -> np.ndarray:
    """float32 (N,): how likely each row is content."""
    scores = np.empty(len(matrix), np.float32)
    score_rows(matrix, forest.nodes, forest.values, forest.roots, scores)
    return scores
