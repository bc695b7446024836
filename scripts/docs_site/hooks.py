"""Hooks of MkDocs (mkdocs.yml): pages made from the code, and links that lead out of docs/.

The reference is made at each build from what the program itself goes by, so that it cannot say anything else: commands
from the command line, recipe keys from the stages' models, schemas from the tables that stages write. Nothing of it is
committed.
"""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "src")) if path not in sys.path]

from scripts.docs_site import commands, recipes, schemas  # noqa: E402 (found by the lines above)

PAGES = {
    "reference/commands.md": commands.page,
    "reference/recipes.md": recipes.page,
    "reference/schemas.md": schemas.page,
}
"""Pages that are made: path below docs/, and what makes it."""

OUTWARD = re.compile(r"(?<!!)\[([^\]]*)\]\((?:\.\./)+([^)\s#]*)(#[^)\s]*)?\)")
"""A link to a file of the repository that is not a page: text, path from the root, place."""


def repository() -> str:
    """Where the project is published; "" until it is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return str(project["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]).rstrip("/")


def on_files(files: Any, config: Any) -> Any:
    for path, make in PAGES.items():
        files.append(File.generated(config, path, content=make()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    depth = page.file.src_uri.count("/") + 1

    def resolved(link: re.Match[str]) -> str:
        text, path, place = link.groups()
        if link[0].count("../") < depth:
            return link[0]  # to another page
        address = repository()
        return f"[{text}]({address}/blob/HEAD/{path}{place or ''})" if address else text

    return OUTWARD.sub(resolved, markdown)
