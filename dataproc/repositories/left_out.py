"""Which files of a repository are not documents, by their names and by what they hold.

Not written here (vendored), not written by people (generated, minified), not text (binary), nothing in it (empty), or
too much (oversized): each such file is counted under its reason. A file that would be a document and cannot be read,
or is not UTF-8, is no such file: it is quarantined. Names follow GitHub's linguist (vendor.yml, generated.rb), as do
the 110 bytes a line at which JavaScript and CSS count as minified; a mark like "DO NOT EDIT" counts in the comments
above the first line of code, since a program that writes such marks has them further down.
"""

import re

VERSION_CONTROL = "version control"
IGNORED = "ignored"
VENDORED = "vendored"
GENERATED = "generated"
MINIFIED = "minified"
BINARY = "binary"
OVERSIZED = "oversized"
EMPTY = "empty"
LINK = "link"
SPECIAL = "special file"
UNKNOWN = "unknown language"
EXCLUDED = "excluded"
REASONS = (
    IGNORED, VENDORED, GENERATED, MINIFIED, BINARY, OVERSIZED, EMPTY, LINK, SPECIAL, UNKNOWN, EXCLUDED,
)  # fmt: skip
"""Why a file is left out, for the counts. What version control keeps for itself is not counted."""

VERSION_CONTROL_NAMES = frozenset((".git", ".hg", ".svn", ".bzr", ".jj", "_darcs", "CVS", ".fslckout", ".pijul"))

_VENDORED_FOLDERS = frozenset(
    (
        "node_modules", "bower_components", "jspm_packages", "vendor", "vendors", "vendored", "_vendor", "third_party",
        "third-party", "thirdparty", "3rdparty", "3rd_party", "3rd-party", "extern", "external", "externals",
        "site-packages", "__pypackages__", ".venv", "virtualenv", ".yarn",
    )
)  # fmt: skip
_VENDORED_AS_WRITTEN = frozenset(("Godeps", "Carthage", "Pods"))
_VENDORED_AT_THE_TOP = frozenset(("deps", "dependencies", "venv"))
_GENERATED_FOLDERS = frozenset(
    (
        "__pycache__", ".tox", ".nox", ".eggs", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".gradle", ".next",
        ".nuxt", ".svelte-kit", ".parcel-cache", ".terraform", "__generated__",
    )
)  # fmt: skip
_GENERATED_AT_THE_TOP = frozenset(("dist", "target", "_build"))
_VENDORED_NAMES = re.compile(
    r"(?:config\.(?:guess|sub)|configure|aclocal\.m4|ltmain\.sh|libtool\.m4|install-sh|depcomp|gradlew(?:\.bat)?|mvnw"
    r"(?:\.cmd)?|jquery(?:[-.][\w.]+)?\.js|bootstrap(?:[-.][\w.]+)?\.(?:js|css)|require\.js|modernizr[-.\w]*\.js)",
    re.IGNORECASE,
)
_GENERATED_NAMES = re.compile(
    r"(?:package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|deno\.lock|bun\.lockb?|cargo\.lock|go\.sum"
    r"|go\.work\.sum|poetry\.lock|pdm\.lock|pixi\.lock|uv\.lock|pipfile\.lock|composer\.lock|gemfile\.lock|mix\.lock"
    r"|pubspec\.lock|podfile\.lock|flake\.lock|packages\.lock\.json|gradle\.lockfile|package\.resolved"
    r"|\.terraform\.lock\.hcl|\.pnp\.[cm]?js"
    r"|.*_pb2(?:_grpc)?\.pyi?|.*\.pb(?:\.gw|\.validate)?\.go|.*_grpc\.pb\.go|.*\.pb\.(?:cc|h|swift|rs)|.*_pb\.(?:[jt]s|d\.ts)"
    r"|.*\.(?:g|freezed|gr|pb|pbenum|pbjson|pbserver)\.dart|.*\.(?:designer|g|g\.i)\.(?:cs|vb)|moc_.*\.cpp|qrc_.*\.cpp"
    r"|.*[._]generated\.\w+|zz_generated\..*|.*\.(?:js|css|mjs|cjs|ts)\.map|.*\.snap|.*\.egg-info)",
    re.IGNORECASE,
)
_MINIFIED_NAMES = re.compile(r".*[.-]min\.(?:js|css|mjs|cjs)|.*\.bundle\.js", re.IGNORECASE)

_LEADING_COMMENTS = re.compile(
    rb"(?:\s++|/\*.*?\*/|<!--.*?-->|\(\*.*?\*\)|\"\"\".*?\"\"\"|<\?[^\n]*+|(?:#|//|--|;|%|!)[^\n]*+)*+", re.DOTALL
)
_MARKS = re.compile(
    rb"@generated\b|\bdo not (?:manually |hand[- ])?(?:edit|modify)\b|\bcode generated\b"
    rb"|\b(?:auto|automatically|machine)[- ]?generated\b|\bgenerated automatically\b",
    re.IGNORECASE,
)
HEAD_BYTES = 4096

_DENSE = frozenset(("javascript", "typescript", "css", "scss"))
_PROSE = frozenset(("markdown", "restructuredtext", "latex", "html", "xml"))
_DENSE_BYTES = 110
_LINE_BYTES = 500
_SMALL_BYTES = 1000


def folder_reason(path: str) -> str | None:
    """Why a folder (path with a slash at its end) is left out with all in it; None where it is entered."""
    steps = path.rstrip("/").split("/")
    name = steps[-1].lower()
    if steps[-1] in VERSION_CONTROL_NAMES:
        return VERSION_CONTROL
    if (
        name in _VENDORED_FOLDERS
        or steps[-1] in _VENDORED_AS_WRITTEN
        or (len(steps) == 1 and name in _VENDORED_AT_THE_TOP)
    ):
        return VENDORED
    generated = name in _GENERATED_FOLDERS or name.endswith(".egg-info")
    return GENERATED if generated or (len(steps) == 1 and name in _GENERATED_AT_THE_TOP) else None


def name_reason(name: str) -> str | None:
    """Why a file is left out by its name."""
    if _GENERATED_NAMES.fullmatch(name):
        return GENERATED
    if _MINIFIED_NAMES.fullmatch(name):
        return MINIFIED
    return VENDORED if _VENDORED_NAMES.fullmatch(name) else None


def content_reason(data: bytes, language: str | None) -> str | None:
    """Why a file is left out by what it holds."""
    if b"\0" in data:
        return BINARY
    if not data.strip():
        return EMPTY
    if is_generated(data):
        return GENERATED
    if is_minified(data, language):
        return MINIFIED
    return None


def is_generated(data: bytes) -> bool:
    """Whether the comments at a file's head say that a program wrote it."""
    head = _LEADING_COMMENTS.match(data, 0, HEAD_BYTES)
    return head is not None and _MARKS.search(data, 0, head.end()) is not None


def is_minified(data: bytes, language: str | None) -> bool:
    """Whether the lines are longer on average than anybody writes them."""
    if len(data) < _SMALL_BYTES or language in _PROSE:
        return False
    limit = _DENSE_BYTES if language in _DENSE else _LINE_BYTES
    return len(data) > limit * (data.count(b"\n") + 1)
