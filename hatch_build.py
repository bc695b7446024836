"""What a wheel's metadata has beyond pyproject.toml: where the project is at home, and a README that reads there, too.

A README's relative links and images lead nowhere on a package index, so they become absolute, below the address of the
repository. It stands in one place, `repository` in pyproject.toml, or in the environment (CORPUSMILL_REPOSITORY) of one
build. While it is empty, the metadata names no address, and links to files are left as they are.
"""

import os
import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

A_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)\s]+)\)")
"""An image or a link that is no address and no place on the same page."""


def with_absolute_links(text: str, repository: str) -> str:
    """The page as it is read elsewhere: files as the repository shows them, images as they are."""

    def absolute(link: re.Match[str]) -> str:
        image, shown, path = link.groups()
        return f"{image}[{shown}]({repository}/{'raw' if image else 'blob'}/HEAD/{path})"

    return A_LINK.sub(absolute, text)


class ProjectMetadata(MetadataHookInterface):
    """Adds `readme`, and `urls` where there is an address."""

    def update(self, metadata: dict) -> None:
        repository = (os.environ.get("CORPUSMILL_REPOSITORY") or self.config["repository"]).rstrip("/")
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        if repository:
            text = with_absolute_links(text, repository)
            metadata["urls"] = {
                "Source": repository,
                "Documentation": f"{repository}/blob/HEAD/docs/index.md",
                "Changelog": f"{repository}/blob/HEAD/CHANGELOG.md",
                "Issues": f"{repository}/issues",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
