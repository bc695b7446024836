"""Model files: what is written is read back, and no file from outside makes the reader look past its end."""

from pathlib import Path

import numpy as np
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.quality.model_file import FastTextModel, open_model, write_model


def tiny() -> FastTextModel:
    draw = np.random.default_rng(3)
    return FastTextModel(
        dimensions=3,
        window=5,
        epochs=2,
        minimum_count=1,
        word_ngrams=2,
        buckets=4,
        words=[b"</s>", "漢".encode(), b"word"],
        word_counts=np.array([3, 2, 1]),
        labels=["__label__hq", "__label__cc"],
        label_counts=np.array([1, 2]),
        tokens=9,
        input=draw.random((7, 3), np.float32),
        output=draw.random((2, 3), np.float32),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "model.bin"
    with target.open("wb") as file:
        write_model(tiny(), file)
    return target


def test_a_model_comes_back_as_it_was_written(path: Path) -> None:
    model, opened = tiny(), open_model(str(path))
    assert (opened.labels, opened.word_ngrams, opened.buckets, opened.why_not) == (model.labels, 2, 4, "")
    spans = zip(opened.starts.tolist(), opened.stops.tolist(), strict=True)
    assert [opened.data[start:stop].tobytes() for start, stop in spans] == model.words
    np.testing.assert_array_equal(opened.input, model.input)
    np.testing.assert_array_equal(opened.output, model.output)


def test_every_cut_file_is_one_line_not_a_read_past_the_end(path: Path, tmp_path: Path) -> None:
    whole, cut = path.read_bytes(), tmp_path / "cut.bin"
    for size in range(len(whole)):
        cut.write_bytes(whole[:size])
        with pytest.raises(UserError):
            open_model(str(cut))


def test_counts_that_are_not_true_are_one_line(path: Path, tmp_path: Path) -> None:
    whole, bad = path.read_bytes(), tmp_path / "bad.bin"
    for place in range(0, 88, 4):
        for value in (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff"):
            bad.write_bytes(whole[:place] + value + whole[place + 4 :])
            try:
                opened = open_model(str(bad))
            except UserError:
                continue
            assert opened.why_not or opened.input.shape[1] == 3


def test_files_that_are_no_classifiers_say_so(tmp_path: Path) -> None:
    for name, data, said in (("empty", b"", "not a fastText model"), ("text", b"words " * 40, "not a fastText model")):
        target = tmp_path / name
        target.write_bytes(data)
        with pytest.raises(UserError, match=said):
            open_model(str(target))
    with pytest.raises(UserError, match="no such file"):
        open_model(str(tmp_path / "missing.bin"))


def test_word_vectors_are_no_classifier(tmp_path: Path) -> None:
    fasttext = pytest.importorskip("fasttext")
    (tmp_path / "text").write_text("one two three four\n" * 50)
    fasttext.train_unsupervised(str(tmp_path / "text"), minCount=1, dim=2, epoch=1, bucket=10, verbose=0).save_model(
        str(tmp_path / "vectors.bin")
    )
    with pytest.raises(UserError, match="no labels"):
        open_model(str(tmp_path / "vectors.bin"))
