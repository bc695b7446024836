"""De-duplication: exact and near duplicates, in four phases that each leave files to go on from.

1. signatures   part → its documents' digests and band keys, partitioned; its signatures
2. pairs        partition → candidate pairs that passed verification
3. clusters     all pairs → components, a survivor for each by declared preference, removals by part
4. apply        part → the part without its removals; `duplicates/` names the survivor of each

Memory: phases 1, 2 and 4 by part and partition; phase 3 holds the verified pairs (35 bytes each) and the clustered
documents' ids and preference columns.
"""

from typing import Any, Literal

from pydantic import Field

from pipelines.datasets import PartReference, folder_identities, list_parts, listed
from pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary, add_counts
from pipelines.engine.task import Task

PARTITION_BYTES = 64 << 20
KEY_BYTES = 24
MAX_PARTITIONS = 4096


class DedupSettings(StageSettings):
    """Settings of `corpusmill dedup`."""

    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    method: tuple[Literal["exact", "minhash"], ...] = Field(
        default=("exact", "minhash"), description="what to look for", min_length=1
    )
    threshold: float = Field(default=0.8, description="least Jaccard similarity of near duplicates", gt=0, lt=1)
    recall: float = Field(
        default=0.995, description="share of pairs at the threshold that must become candidates", gt=0, lt=1
    )
    permutations: int = Field(default=128, description="slots of a MinHash signature", ge=16, le=1024)
    ngram: int = Field(default=5, description="words of a shingle", ge=1, le=20)
    prefer: tuple[str, ...] = Field(
        default=("length:desc",),
        description="which document of a cluster stays: column:asc, column:desc or column:first(a|b); then by id",
    )


class DedupStage(Stage):
    """Documents to unique documents, with the survivor of every duplicate named."""

    name = "dedup"
    Settings = DedupSettings
    settings: DedupSettings

    def inputs(self) -> dict[str, Any]:
        return folder_identities(self.settings.datasets, self.resolve)

    def check(self) -> None:
        from dataproc.dedup.bands import choose_bands

        if "minhash" in self.settings.method:
            choose_bands(self.settings.threshold, self.settings.permutations, self.settings.recall)

    def check_inputs(self, folder: str) -> None:
        """Raises UserError for a preference by a column that the documents do not have."""
        from dataproc.datasets import open_part
        from dataproc.dedup.survivors import parse_preferences

        if parts := list_parts(self.settings.datasets, self.resolve):
            with open_part(parts[0].path) as file:
                parse_preferences(self.settings.prefer, [*file.schema_arrow.names, "length"])

    def _partitions(self, parts: list[PartReference], bands: int) -> int:
        """Partitions of about 64 MiB of keys; a function of the input's size alone, so that it is the same anywhere."""
        keys = sum(part.rows for part in parts) * (bands + 1)
        return min(MAX_PARTITIONS, 1 + keys * KEY_BYTES // PARTITION_BYTES)

    def phases(self) -> list[PhasePlan]:
        parts = list_parts(self.settings.datasets, self.resolve)
        total = sum(part.arrow_bytes for part in parts)
        keys = sum(part.rows for part in parts) * KEY_BYTES
        return [
            PhasePlan(name="signatures", tasks=len(parts), bytes=total),
            PhasePlan(name="pairs", tasks=self._partitions(parts, 16), bytes=keys),
            PhasePlan(name="clusters", tasks=1, bytes=keys),
            PhasePlan(name="apply", tasks=len(parts), bytes=total),
        ]

    def run(self, run: StageRun) -> Summary:
        from dataproc.dedup.bands import choose_bands

        settings = self.settings
        parts = list_parts(settings.datasets, self.resolve)
        bands = rows = 0
        if "minhash" in settings.method:
            banding = choose_bands(settings.threshold, settings.permutations, settings.recall)
            bands, rows = banding.bands, banding.rows
        partitions = self._partitions(parts, bands)
        shared: dict[str, Any] = {
            "method": list(settings.method),
            "threshold": settings.threshold,
            "permutations": settings.permutations,
            "ngram": settings.ngram,
            "seed": self.seed,
            "bands": bands,
            "rows": rows,
            "partitions": partitions,
            "parts": [part.number for part in parts],
        }
        signed = run.map("signatures", [_part_task(part, "sign_part", shared) for part in parts])
        key_bytes = sum(result["key_bytes"] for result in signed)
        pairs = run.map(
            "pairs",
            [
                Task(
                    id=f"partition-{number:04d}",
                    function="pipelines.tasks.dedup:pair_partition",
                    arguments=shared | {"partition": number},
                    bytes=key_bytes // partitions,
                )
                for number in range(partitions)
            ],
        )
        clusters = run.map(
            "clusters",
            [
                Task(
                    id="clusters",
                    function="pipelines.tasks.dedup:cluster_pairs",
                    arguments=shared
                    | {"paths": {str(part.number): part.path for part in parts}, "prefer": list(settings.prefer)},
                    bytes=sum(result["bytes"] for result in pairs),
                )
            ],
        )[0]
        applied = run.map("apply", [_part_task(part, "apply_part", shared) for part in parts])
        return Summary(
            counts=add_counts(applied, ["documents_in", "kept", "duplicates", "quarantined"]),
            parts=listed(applied, "parts"),
            files=listed(applied, "files"),
            facts={
                "bands": bands,
                "rows": rows,
                "duplicates_by_method": _by_method(applied),
                "candidate_pairs": sum(result["candidates"] for result in pairs),
                "verified_pairs": sum(result["verified"] for result in pairs),
                "clusters": clusters["clusters"],
                "largest_cluster": clusters["largest"],
            },
        )


def _part_task(part: PartReference, function: str, shared: dict[str, Any]) -> Task:
    return Task(
        id=part.task_id,
        function=f"pipelines.tasks.dedup:{function}",
        arguments=shared | {"path": part.path, "number": part.number},
        bytes=part.arrow_bytes,
    )


def _by_method(results: list[dict[str, Any]]) -> dict[str, int]:
    totals = {"exact": 0, "minhash": 0}
    for result in results:
        for method, count in result["by_method"].items():
            totals[method] += count
    return totals
