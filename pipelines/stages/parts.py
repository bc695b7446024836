"""Stages over the parts of datasets: a task a part, and parts that keep their numbers."""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

from corpusmill.pipelines.datasets import PartReference, folder_identities, list_parts, require_distinct_ids
from corpusmill.pipelines.engine.stage import PhasePlan, Stage
from corpusmill.pipelines.engine.task import Task


@dataclass(frozen=True, kw_only=True)
class PartWork:
    """What a task over a part is given besides its stage's own fields: the part's path."""

    path: str = ""


OfPart = TypeVar("OfPart", bound=PartWork)


class PartsStage(Stage):
    """A stage whose setting `datasets` names what it reads."""

    def parts(self) -> list[PartReference]:
        """The parts of all datasets, numbered through. Raises UserError for a folder that is not a dataset."""
        return list_parts(self.settings.datasets, self.resolve)

    def inputs(self) -> dict[str, Any]:
        return folder_identities(self.settings.datasets, self.resolve)

    def check_inputs(self, folder: str) -> None:
        self.parts()
        require_distinct_ids(self.settings.datasets, self.resolve)

    def phase_over_parts(self, name: str) -> PhasePlan:
        """The plan of a phase with a task a part."""
        parts = self.parts()
        return PhasePlan(name=name, tasks=len(parts), bytes=sum(part.arrow_bytes for part in parts))

    def part_tasks(self, function: str, work: OfPart) -> list[Task]:
        """A task a part, each with the part's `path` in what all of them share."""
        return [
            Task(id=part.task_id, function=function, arguments=replace(work, path=part.path), bytes=part.arrow_bytes)
            for part in self.parts()
        ]
