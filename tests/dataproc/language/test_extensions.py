"""Programming languages by the names of files."""

import pytest

from corpusmill.dataproc.language import language_of_path


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("src/main.py", "python"),
        ("a/b.c", "c"),
        ("a/b.H", "c"),
        ("x.hpp", "cpp"),
        ("X.java", "java"),
        ("app.min.js", "javascript"),
        ("app.tsx", "typescript"),
        ("main.go", "go"),
        ("lib.rs", "rust"),
        ("README.md", "markdown"),
        ("docker/Dockerfile", "dockerfile"),
        ("C:\\src\\Main.CS", "csharp"),
        ("CMakeLists.txt", "cmake"),
        ("notes.txt", None),
        ("LICENSE", None),
        (".gitignore", None),
        ("py", None),
        ("a.py/file", None),
        ("", None),
    ],
)
def test_language_of_path(path, language):
    assert language_of_path(path) == language
