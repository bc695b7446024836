"""Files are joined in order under their paths, and every offset is right."""

import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.normalisation import Normalisation
from corpusmill.dataproc.repositories.comments import BLOCK, LINE, path_comment
from corpusmill.dataproc.repositories.trees import FolderTree
from tests.dataproc.repositories.trees_on_disk import Read, write_tree

TWO = {
    "main.py": "import b\nprint(1)\n", "b.py": "import a\n", "a.py": "A = 1\n", "README.md": "# R\n",
    "z.c": '#include "z.h"\n', "z.h": "int z;",
}  # fmt: skip


def pieces(read: Read) -> list[list[str]]:
    """The text of each document, cut at `file_starts`."""
    out = []
    for row, meta in zip(read.documents, read.metas, strict=True):
        text, starts = row["text"].encode(), meta["file_starts"]
        ends = [*starts[1:], len(text)]
        out.append([text[start:end].decode() for start, end in zip(starts, ends, strict=True)])
    return out


def test_a_document_is_a_connected_subgraph_in_order(tmp_path: Path) -> None:
    read = Read(write_tree(tmp_path, TWO))
    assert read.paths == [["README.md"], ["a.py", "b.py", "main.py"], ["z.h", "z.c"]]
    assert [row["id"] for row in read.documents] == ["s/r#README.md", "s/r#a.py", "s/r#z.h"]
    assert [row["language"] for row in read.documents] == ["markdown", "python", "c"]
    assert pieces(read)[1] == ["# a.py\nA = 1\n", "# b.py\nimport a\n", "# main.py\nimport b\nprint(1)\n"]
    assert pieces(read)[2] == ["// z.h\nint z;\n", '// z.c\n#include "z.h"\n']
    assert read.metas[1] == {
        "file_starts": [0, 13, 29], "languages": ["python"] * 3, "left_out": {}, "paths": ["a.py", "b.py", "main.py"],
        "repository": "r",
    }  # fmt: skip
    assert {(row["source"], row["kind"], row["url"]) for row in read.documents} == {("s", "code", None)}
    assert {name: read.summary[name] for name in ("documents", "files", "dependencies", "quarantined")} == {
        "documents": 3, "files": 6, "dependencies": 3, "quarantined": 0,
    }  # fmt: skip


def test_a_document_is_a_repository_or_a_file_where_that_is_asked_for(tmp_path: Path) -> None:
    write_tree(tmp_path, TWO)
    assert Read(tmp_path, documents="repository").paths == [["README.md", "a.py", "b.py", "main.py", "z.h", "z.c"]]
    assert Read(tmp_path, documents="file").paths == [[path] for path in sorted(TWO)]
    assert pieces(Read(tmp_path, documents="file"))[1] == ["# a.py\nA = 1\n"]
    with pytest.raises(UserError, match="one of component, repository, file"):
        Read(tmp_path, documents="folder")


def test_long_documents_are_split_between_files_in_order(tmp_path: Path) -> None:
    write_tree(tmp_path, {f"m{number}.py": f"import m{number + 1}\n" + "x = 1\n" * 20 for number in range(9)})
    one = 9 + 10 + 6 * 20
    read = Read(tmp_path, document_bytes=3 * one)
    assert [len(paths) for paths in read.paths] == [3, 3, 3]
    assert [path for paths in read.paths for path in paths] == [f"m{number}.py" for number in range(9)][::-1]
    assert len({row["id"] for row in read.documents}) == 3
    assert [len(paths) for paths in Read(tmp_path, document_bytes=1).paths] == [1] * 9


LINES = st.sampled_from(["x", "\r\n", "\r", "\n", "\r\r\n", "é", "\ufeff", "漢", " ", "\u2028", "e\u0301"])


@given(st.lists(st.lists(LINES, min_size=1, max_size=12).map("".join), min_size=1, max_size=5), st.booleans())
def test_offsets_hold_whatever_the_line_breaks(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], nfc: bool
) -> None:
    root = tmp_path_factory.mktemp("r")
    files = {f"f{number}.py": text for number, text in enumerate(texts) if text.encode().strip()}
    read = Read(write_tree(root, files), documents="repository", normalisation=Normalisation(form="NFC" if nfc else ""))
    contents = {
        path: piece
        for paths, cut in zip(read.paths, pieces(read), strict=True)
        for path, piece in zip(paths, cut, strict=True)
    }
    for path, text in files.items():
        expected = (text if text.endswith("\n") else text + "\n").replace("\r\n", "\n").removeprefix("\ufeff")
        if nfc:
            expected = expected.replace("e\u0301", "é")
        assert contents[path] == f"# {path}\n{expected}"
    assert set(contents) == set(files)


def test_files_that_a_normal_form_changed_are_counted(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a.py": "# e\u0301\n", "b.py": "# é\n", "c.py": "# e\n"})
    assert Read(tmp_path, normalisation=Normalisation(form="NFC")).summary["normalised"] == 1


def test_the_order_in_which_a_folder_is_listed_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, TWO | {f"d{number}/x.py": "import a\n" for number in range(9)})
    expected = Read(tmp_path).documents
    entries, contents = FolderTree.entries, FolderTree.contents
    chance = random.Random(1)

    def shuffled(tree: FolderTree, folder: str):  # type: ignore[no-untyped-def]
        listed, problem = entries(tree, folder)
        return chance.sample(listed, len(listed)), problem

    monkeypatch.setattr(FolderTree, "entries", shuffled)
    monkeypatch.setattr(FolderTree, "contents", lambda tree, paths: contents(tree, chance.sample(paths, len(paths))))
    for _ in range(5):
        assert Read(tmp_path).documents == expected


def test_a_repository_larger_than_what_is_held_lies_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, TWO)
    expected = Read(tmp_path).documents
    monkeypatch.setattr("corpusmill.dataproc.repositories.reading.MEMORY_BYTES", 8)
    assert Read(tmp_path).documents == expected


def test_a_repository_of_nothing_but_what_is_left_out_has_no_documents(tmp_path: Path) -> None:
    read = Read(write_tree(tmp_path, {"yarn.lock": "x"}))
    assert read.documents == [] and read.left_out == {"generated": 1}


def test_every_language_has_one_comment_that_a_path_cannot_leave() -> None:
    languages = " ".join([*LINE.values(), *BLOCK.values()]).split()
    assert len(languages) == len(set(languages))
    assert path_comment("a/b.py", "python") == "# a/b.py\n"
    assert path_comment("a b.css", "css") == "/* a b.css */\n"
    assert path_comment("x*/y.css", "css") == "/* x* /y.css */\n"
    assert path_comment("x-->y.md", "markdown") == "<!-- x- - >y.md -->\n"
    assert path_comment("a\nb\u2028.py", "python") == "# a\\nb\\u2028.py\n"


def test_every_language_that_a_file_can_have_has_a_comment() -> None:
    from corpusmill.dataproc.language import LANGUAGE_OF_EXTENSION

    known = set(" ".join([*LINE.values(), *BLOCK.values()]).split())
    assert set(LANGUAGE_OF_EXTENSION.values()) - known == set()


def test_packing_takes_the_offsets(tmp_path: Path) -> None:
    import numpy as np
    import pyarrow as pa

    from corpusmill.dataproc.kernels.buffers import text_buffers
    from corpusmill.dataproc.sequences.fim_places import file_begins
    from corpusmill.pipelines.stages.pack.work.encoding import file_starts

    read = Read(write_tree(tmp_path, TWO | {"é/漢.py": "import a\n"}))
    text = pa.array([row["text"] for row in read.documents], pa.large_string())
    files = file_begins(file_starts(pa.array([row["meta"] for row in read.documents])), *text_buffers(text))
    assert np.diff(files.bounds).tolist() == [len(paths) for paths in read.paths]
    assert os.fsencode("é/漢.py").decode() in read.paths[1]
