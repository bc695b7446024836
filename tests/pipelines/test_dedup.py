"""De-duplication as a stage: every row is accounted for, also where ids are not unique."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.tasks import dedup
from tests.pipelines.test_stage_inputs import run


def test_a_quarantined_row_does_not_take_its_namesake_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["A bad text, which nothing can read.", "A good text of the same name.", *"abcdefgh"]
    rows = [{"id": "same" if number < 2 else str(number), "text": text} for number, text in enumerate(texts)]
    (tmp_path / "raw.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    run("ingest", tmp_path / "documents", inputs=[str(tmp_path / "raw.jsonl")])
    real = dedup.text_digests

    def fails_on_bad_texts(batch):
        if any("bad" in text for text in batch.to_pylist()):
            raise ValueError("cannot read this")
        return real(batch)

    monkeypatch.setattr(dedup, "text_digests", fails_on_bad_texts)
    done = run("dedup", tmp_path / "unique", datasets=[str(tmp_path / "documents")])
    assert done.manifest["counts"] == {"documents_in": 10, "kept": 9, "duplicates": 0, "quarantined": 1}
    assert "A good text of the same name." in pq.read_table(tmp_path / "unique/part-00000.parquet")["text"].to_pylist()
