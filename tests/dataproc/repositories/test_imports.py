"""Includes and imports of C, C++, Java, JavaScript, TypeScript, Go and Rust lead to files of the repository."""

import posixpath
import re
import time

import pytest

from corpusmill.dataproc.language import language_of_path
from corpusmill.dataproc.repositories.graph import FAMILY_OF_LANGUAGE, Imports
from corpusmill.dataproc.repositories.imports import c, go, java, javascript, rust
from corpusmill.dataproc.repositories.languages import MANIFESTS, header_languages

Files = dict[str, str]


def edges(files: Files) -> dict[str, tuple[list[str], list[str]]]:
    """(all, deferred) dependencies of each file."""
    imports = Imports()
    for path, text in files.items():
        if posixpath.basename(path) in MANIFESTS:
            imports.add_manifest(path, text)
        imports.add(path, language_of_path(path) or "", text)
    paths = sorted(files)
    needs, deferred = imports.edges(paths, files.__getitem__)
    return {
        path: ([paths[other] for other in needs[at]], [paths[other] for other in deferred[at]])
        for at, path in enumerate(paths)
    }


def needed(files: Files, path: str) -> list[str]:
    return edges(files)[path][0]


def deferred(files: Files, path: str) -> list[str]:
    return edges(files)[path][1]


# C and C++


def test_includes_as_they_are_written() -> None:
    text = '#include "a.h"\n  #  include <b/c.h> // why\n// #include "no.h"\n'
    text += '#include_next "d.h"\n#import "e.h"\nx #include "f.h"\n'
    assert c.scan(text) == (("a.h", False), ("b/c.h", True), ("d.h", False), ("e.h", False))


def test_a_quoted_header_is_beside_the_file_then_above_then_anywhere() -> None:
    files = {"src/a.c": '#include "x.h"\n', "src/x.h": "", "x.h": ""}
    assert needed(files, "src/a.c") == ["src/x.h"]
    assert needed({"src/lib/a.c": '#include "net/x.h"\n', "src/net/x.h": "", "net/x.h": ""}, "src/lib/a.c") == [
        "src/net/x.h"
    ]
    far = {"app/a.c": '#include "x.h"\n', "lib/include/x.h": "", "app/core/x.h": ""}
    assert needed(far, "app/a.c") == ["app/core/x.h"]
    assert needed({"src/a.c": '#include "../inc/x.h"\n', "inc/x.h": ""}, "src/a.c") == ["inc/x.h"]
    assert needed({"a.c": '#include "../../x.h"\n'}, "a.c") == []


def test_angle_brackets_are_the_systems_unless_the_folder_is_one_of_headers() -> None:
    files = {"src/a.c": "#include <string.h>\n#include <p/x.h>\n", "tests/string.h": "", "include/p/x.h": ""}
    assert needed(files, "src/a.c") == ["include/p/x.h"]


def test_c_and_cpp_see_each_other_and_a_file_does_not_need_itself() -> None:
    files = {"a.cc": '#include "a.h"\n#include "k.cu"\n', "a.h": '#include "a.h"\n', "k.cu": ""}
    assert needed(files, "a.cc") == ["a.h", "k.cu"]
    assert needed(files, "a.h") == []


def naive_includes(files: Files, path: str) -> set[str]:
    """The oracle: all files whose path ends with what an include names, beside the file first."""
    matches: set[str] = set()
    for line in files[path].split("\n"):
        matched = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if matched:
            beside = posixpath.normpath(posixpath.join(posixpath.dirname(path), matched[1]))
            ends = {file for file in files if file == matched[1] or file.endswith("/" + matched[1])}
            matches |= {beside} if beside in files else ends
    return matches - {path}


def test_where_names_are_unique_a_naive_search_finds_the_same() -> None:
    files = {}
    for number in range(60):
        folder = ("", "src/", "src/core/", "include/", "lib/x/")[number % 5]
        asked = [(number * step + step) % 60 for step in (1, 7, 11)]
        lines = "".join(f'#include "{"core/" * (other % 5 == 2)}f{other}.h"\n' for other in asked)
        files[f"{folder}f{number}.h"] = lines + "#include <stdio.h>\n"
    for path, (needs, _) in edges(files).items():
        assert set(needs) == naive_includes(files, path)
    assert sum(len(needs) for needs, _ in edges(files).values()) > 100


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a.c": '#include "x.h"\n', "b.cpp": '#include "x.h"\n', "x.h": ""}, "c"),
        ({"b.cpp": '#include "y.hpp"\n', "y.hpp": '#include "x.h"\n', "x.h": ""}, "cpp"),
        ({"x.h": "", "b.cpp": ""}, "cpp"),
        ({"x.h": "", "b.cpp": "", "a.c": ""}, "c"),
        ({"x.h": "namespace a {\n}\n"}, "cpp"),
        ({"x.h": "/* a class of things */ int class_of(int);\n"}, "c"),
    ],
)
def test_a_header_is_of_the_language_that_includes_it(files: Files, expected: str) -> None:
    from corpusmill.dataproc.repositories.languages import says_cpp

    paths = sorted(files)
    needs = [[paths.index(other) for other in needed(files, path)] for path in paths]
    languages = [language_of_path(path) or "" for path in paths]
    cpp_only = {path: says_cpp(files[path]) for path in paths}
    assert header_languages(paths, languages, needs, cpp_only)[paths.index("x.h")] == expected


# Java


def test_java_scans() -> None:
    text = "// x\npackage a.b;\nimport c.D; import static e.F.g;\nimport h.*;\n/* import no; */\n"
    assert java.scan(text) == java.Scan("a.b", ("c.D", "e.F.g", "h.*"))


def test_classes_are_found_by_package_and_name() -> None:
    files = {
        "x/src/main/java/a/One.java": "package a;\nimport b.Two;\nimport static b.Three.f;\nimport b.Four.Inner;\n",
        "x/src/main/java/b/Two.java": "package b;\n",
        "y/b/Three.java": "package b;\n",
        "y/b/Four.java": "package b;\nclass Four { Two two; }\n",
    }
    one = "x/src/main/java/a/One.java"
    assert needed(files, one) == ["x/src/main/java/b/Two.java", "y/b/Four.java", "y/b/Three.java"]
    assert deferred(files, one) == []
    assert edges(files)["y/b/Four.java"] == (["x/src/main/java/b/Two.java"],) * 2


def test_a_wildcard_brings_the_classes_that_are_mentioned() -> None:
    files = {"A.java": "import b.*;\nclass A { B x; }\n", "b/B.java": "package b;\n", "b/C.java": "package b;\n"}
    assert edges(files)["A.java"] == (["b/B.java"], ["b/B.java"])


# JavaScript and TypeScript


def test_javascript_scans() -> None:
    text = """import a from './a'; import './b';
import { c,
  d } from "./c";
import type { T } from './t';
export * from './e';
export { f } from './f'
const g = require('./g'), x = 1
function h() { return require("./h") }
  const i = require('./i')
const j = await import('./j');
// import k from './k'
// const l = require('./l')
 * const m = require('./m')
export const n = "./n"
export default './o'
import p = require('./p');
"""
    assert dict(javascript.scan(text)) == {
        "./a": False, "./b": False, "./c": False, "./t": True, "./e": False, "./f": False, "./g": False, "./h": False,
        "./i": True, "./j": True, "./p": False,
    }  # fmt: skip


def test_files_are_found_with_their_endings_and_indexes() -> None:
    files = {
        "src/a.ts": "import '../lib'; import './b.js'; import './c'; import './d.json'; import 'react';\n",
        "lib/index.tsx": "", "src/b.ts": "", "src/c/index.js": "", "src/d.json": "{}", "src/react.ts": "",
    }  # fmt: skip
    assert needed(files, "src/a.ts") == ["lib/index.tsx", "src/b.ts", "src/c/index.js", "src/d.json"]
    assert needed({"a.js": "import '../x'; import '.'; require('..')\n", "index.js": ""}, "a.js") == ["index.js"]


def test_packages_of_a_workspace_are_found_by_name() -> None:
    files = {
        "packages/x/package.json": '{"name": "@s/x", "main": "dist/x.js"}', "packages/x/src/index.ts": "",
        "packages/x/src/deep.ts": "", "packages/y/package.json": '{"name": "y", "main": "./main.js"}',
        "packages/y/main.js": "", "app/a.ts": "import '@s/x'; import '@s/x/deep'; import 'y'; import 'z';\n",
        "broken/package.json": "{",
    }  # fmt: skip
    assert needed(files, "app/a.ts") == ["packages/x/src/deep.ts", "packages/x/src/index.ts", "packages/y/main.js"]


# Go


def test_go_scans() -> None:
    text = """package main

import "fmt"
import (
\tx "m/a" // why
\t_ `m/b`
\t// "m/no"
)
type T struct{}
var (
\tone = 1
\ttwo int
)
func (t T) method() {}
func Free() { import_ := 1 }
"""
    assert go.scan(text) == go.Scan("main", ("fmt", "m/a", "m/b"), ("Free", "T", "one", "two"))


def test_packages_are_folders_below_the_module() -> None:
    files = {
        "go.mod": "module example.org/m // x\n\ngo 1.22\n", "main.go": 'package main\nimport "example.org/m/sub/a"\n',
        "sub/a/one.go": "package a\n", "sub/a/two.go": "package a\n", "sub/a/one_test.go": "package a\n",
        "tool/go.mod": "module example.org/m/tool\n", "tool/t.go": 'package t\nimport "example.org/m/tool/a"\n',
        "tool/a/x.go": "package a\n",
    }  # fmt: skip
    assert edges(files)["main.go"] == (["sub/a/one.go", "sub/a/two.go"], [])
    assert needed(files, "tool/t.go") == ["tool/a/x.go"]


def test_names_of_the_same_package_are_mentions() -> None:
    files = {
        "a.go": "package p\nfunc A() { B() }\n", "b.go": "package p\nfunc B() {}\n",
        "a_test.go": "package p\nfunc TestA() { A() }\n", "c.go": "package q\nfunc C() { B() }\n",
    }  # fmt: skip
    needs = edges(files)
    assert needs["a.go"] == (["b.go"], ["b.go"])
    assert needs["a_test.go"] == (["a.go"], ["a.go"])
    assert needs["b.go"] == needs["c.go"] == ([], [])


# Rust


def test_rust_scans() -> None:
    text = """use crate::{a::b, c::{self, d as e, f::*}}; // use crate::no;
pub use self::child::Name;
mod child;
#[cfg(x)]
pub(crate) mod other;
#[path = "far/away.rs"]
mod told;
fn g() { super::h::i(); }
extern crate z;
mod tests {
    use super::*;
    use super::super::j::k;
}
"""
    scan = rust.scan(text)
    assert scan.children == (("child", ""), ("other", ""), ("told", "far/away.rs"))
    assert scan.handed_on == ("self::child::Name",)
    assert dict(scan.paths) == {
        "crate::a::b": False, "crate::c": False, "crate::c::d": False, "crate::c::f": False, "super::h::i": True,
        "super::j::k": True, "z": False,
    }  # fmt: skip


CRATE = {
    "Cargo.toml": '[workspace]\nmembers = ["x"]\n',
    "x/Cargo.toml": '[package]\nname = "my-x"\n',
    "x/src/lib.rs": "mod a;\npub mod b;\npub use self::b::inner::Thing;\n",
    "x/src/a.rs": "use crate::b::inner::Other;\nuse super::b;\n",
    "x/src/b/mod.rs": "pub mod inner;\n",
    "x/src/b/inner.rs": "use super::super::a::f;\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n",
    "y/Cargo.toml": "[package]\nversion = '1'\nname = 'y'\n[lib]\nname = \"why\"\npath = \"lib.rs\"\n",
    "y/lib.rs": "use my_x::Thing;\nmod deep;\n",
    "y/deep.rs": "mod er;\nuse er::X;\n",
    "y/deep/er.rs": "",
    "y/bin.rs": "use why::deep;\nuse std::io;\n",
}


@pytest.mark.parametrize(
    ("path", "needs", "later"),
    [
        ("x/src/lib.rs", ["a.rs", "b/inner.rs", "b/mod.rs"], ["a.rs", "b/inner.rs", "b/mod.rs"]),
        ("x/src/a.rs", ["b/inner.rs", "b/mod.rs"], []),
        ("x/src/b/mod.rs", ["b/inner.rs"], ["b/inner.rs"]),
        ("x/src/b/inner.rs", ["a.rs"], []),
    ],
)
def test_modules_of_a_crate(path: str, needs: list[str], later: list[str]) -> None:
    needed = edges(CRATE)[path]
    assert needed == ([f"x/src/{need}" for need in needs], [f"x/src/{need}" for need in later])


def test_crates_of_a_workspace_and_names_that_are_handed_on() -> None:
    assert edges(CRATE)["y/lib.rs"] == (["x/src/b/inner.rs", "y/deep.rs"], ["y/deep.rs"])
    assert edges(CRATE)["y/deep.rs"] == (["y/deep/er.rs"], [])
    assert needed(CRATE, "y/bin.rs") == ["y/deep.rs"]


def test_names_that_are_handed_on_in_a_ring_come_to_an_end() -> None:
    files = {
        "Cargo.toml": '[package]\nname = "r"\n', "src/lib.rs": "mod a;\nmod b;\nuse crate::a::X;\n",
        "src/a.rs": "pub use crate::b::X;\n", "src/b.rs": "pub use crate::a::X;\n",
    }  # fmt: skip
    assert set(needed(files, "src/lib.rs")) == {"src/a.rs", "src/b.rs"}


def test_languages_of_different_families_have_no_edges() -> None:
    files = {"a.py": "import b\n", "b.js": "", "c.java": "import b.X;\n", "d.rb": "require 'a'\n"}
    assert all(needs == ([], []) for needs in edges(files).values())
    assert set(FAMILY_OF_LANGUAGE.values()) == {"python", "c", "java", "javascript", "go", "rust"}


@pytest.mark.parametrize("path", ["a.py", "a.c", "a.java", "a.ts", "a.go", "a.rs"])
@pytest.mark.parametrize(
    "text",
    [
        "", "\n", "(", "import (", "import (\n", "# import (\n", "import (#(\n", "use a::{", "'", '"""', "#include",
        "\u2028", "/*", "import a\n", "import a;", "import a;\\\n", "export class A {}\n", "var (\n", "mod a",
        "#[x]\n", "from . ",
    ],
)  # fmt: skip
def test_whatever_stands_in_a_file_is_scanned_in_little_time(path: str, text: str) -> None:
    text = text * (100_000 // max(1, len(text)))
    begun = time.process_time()
    for end in ("", "};\n'\n"):
        assert needed({path: text + end, "b.txt": ""}, path) == []
    assert time.process_time() - begun < 4
