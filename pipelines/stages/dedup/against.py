"""An index as de-duplication sees it: one generation of it, whoever adds meanwhile."""

from typing import Any

import xxhash

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup import index_files
from corpusmill.dataproc.dedup.index_entries import Generation
from corpusmill.pipelines.stages.dedup.arguments import Matching
from corpusmill.pipelines.stages.dedup.signatures import SignatureSettings

MATCH_PARTITION = "corpusmill.pipelines.stages.dedup.work.matching:match_partition"


def matching(index: str, generation: Generation, threshold: float | None = None) -> Matching:
    """What tasks need to look documents up.

    Args:
        index: folder or URL.
        generation: of the index that is asked.
        threshold: to verify at; that of the index if None.
    """
    return Matching(index=storage.absolute(index), generation=generation.number, threshold=threshold)


def generation_identity(generation: Generation) -> dict[str, Any]:
    """What a plan says of an index, as of an input."""
    return {"generation": generation.number, "digest": xxhash.xxh3_128_hexdigest(generation.to_json())}


class IndexView:
    """An index at the generation that was the last one when it was first looked at.

    Args:
        name: as the settings write it.
        folder: or URL.
    """

    def __init__(self, name: str, folder: str) -> None:
        self._name, self._folder = name, folder
        self._generation = index_files.require_generation(folder)

    def identity(self) -> dict[str, Any]:
        """What the plan says of it, as of an input."""
        return {self._name: generation_identity(self._generation)}

    def require_comparable(self, settings: SignatureSettings, seed: int) -> None:
        """Raises UserError for an index that documents signed by these settings cannot be compared with."""
        from corpusmill.dataproc.dedup.index import index_settings

        wanted = index_settings(**signature_values(settings), seed=seed)
        index_files.require_comparable(self._folder, self._generation.settings, wanted)

    def matching(self, settings: SignatureSettings, seed: int) -> Matching:
        """What tasks need to look documents up that were signed by these settings. Raises as `require_comparable`."""
        self.require_comparable(settings, seed)
        return matching(self._folder, self._generation)


def signature_values(settings: SignatureSettings) -> dict[str, Any]:
    """The settings that signatures depend on, by name, as JSON values."""
    return settings.model_dump(mode="json", include=set(SignatureSettings.model_fields))
