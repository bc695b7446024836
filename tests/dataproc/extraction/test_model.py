"""The forest in a file, held against plain Python."""

import numpy as np
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.extraction import model as m
from corpusmill.dataproc.extraction.features import FEATURES, NAMES
from corpusmill.dataproc.extraction.second import SECOND, SECOND_NAMES

TREE = {
    "tree_structure": {
        "split_feature": 1,
        "threshold": 0.1,
        "left_child": {"leaf_value": -1.5},
        "right_child": {
            "split_feature": 0,
            "threshold": 2.0,
            "left_child": {"leaf_value": 0.25},
            "right_child": {"leaf_value": 3.0},
        },
    }
}


def plain(row: np.ndarray, node: dict) -> float:
    while "leaf_value" not in node:
        node = node["left_child" if float(row[node["split_feature"]]) <= node["threshold"] else "right_child"]
    return node["leaf_value"]


def test_a_tree_scores_as_its_nodes_say() -> None:
    lines = [m.tree_line(TREE), m.tree_line(TREE)]
    forest = m.read_forest(lines)
    matrix = np.array([[0, 0], [2, 1], [3, 1], [2, np.float32(0.1)]], np.float32)
    expected = [1 / (1 + np.exp(-2 * plain(row, TREE["tree_structure"]))) for row in matrix]
    np.testing.assert_allclose(m.score(matrix, forest), expected, rtol=1e-6)


def test_a_file_is_read_as_it_was_written() -> None:
    text = m.model_text([m.tree_line(TREE)], [m.tree_line(TREE)] * 2, (0.4, 0.7), ["a", "b"], "made here")
    model = m.read_model(text, ["a", "b"], "here")
    assert (len(model.first.roots), len(model.second.roots), model.threshold, model.article_threshold) == (
        1,
        2,
        0.4,
        0.7,
    )


@pytest.mark.parametrize("text", ["another format\n", m.model_text([], [], (0.4, 0.7), ["b", "a"], "")])
def test_another_model_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        m.read_model(text, ["a", "b"], "here")


def test_our_model_fits_our_features_and_is_small() -> None:
    model = m.load_model()
    assert model.features == tuple(NAMES + SECOND_NAMES)
    assert model.first.nodes[:, 0].max() < FEATURES
    assert model.second.nodes[:, 0].max() < FEATURES + SECOND
    assert m.FILE.stat().st_size < 1 << 20
