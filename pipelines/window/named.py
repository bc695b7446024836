"""The paths that were named on the command line, and what lies in them: pages know places by these names alone.

An address of the window holds the number of a path and the name of a stage that the run's folder lists, never a path.
So nothing else of the machine can be asked for, by whatever address.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.places import Place, folder_name, recognise


class NotNamed(UserError):
    """There is no such path, stage or page here."""


@dataclass(frozen=True)
class NamedPath:
    """A path that was named.

    Attributes:
        key: of it in addresses.
        path: as it was named.
        name: for people.
    """

    key: str
    path: str
    name: str

    @property
    def address(self) -> str:
        """Of its page."""
        return f"/at/{quote(self.key, safe='')}"

    @property
    def place(self) -> Place:
        """What is there now: a run may be at work."""
        return recognise(self.path)

    def stage(self, name: str) -> Place:
        """A stage of the run, or the folder itself by its own name. Raises NotNamed for another."""
        place = self.place
        for stage, folder in place.stages:
            if stage == name:
                return recognise(folder)
        if place.what != "run" and name == self.name:
            return place
        raise NotNamed("there is no such stage", where=f"{self.name}/{name}", hint="go back to the overview")


class NamedPaths:
    """All that were named, by key. Raises UserError for one that is not there or not made by corpusmill."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths: dict[str, NamedPath] = {}
        for path in dict.fromkeys(storage.absolute(path) for path in paths):
            recognise(path)
            name = folder_name(path)
            key = name if name not in self._paths else f"{name}~{len(self._paths)}"
            self._paths[key] = NamedPath(key=key, path=path, name=name)

    def __iter__(self) -> Iterator[NamedPath]:
        return iter(self._paths.values())

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, key: str) -> NamedPath:
        if key not in self._paths:
            raise NotNamed("no path of this name was given", where=key, hint="go back to the first page")
        return self._paths[key]
