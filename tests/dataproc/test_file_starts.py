import json

import pyarrow as pa

from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.file_starts import with_texts


def batch(*rows: tuple[str, str | None]) -> pa.RecordBatch:
    made = [
        {"id": str(n), "text": text, "source": "s", "kind": "code", "meta": meta} for n, (text, meta) in enumerate(rows)
    ]
    return pa.RecordBatch.from_pylist(made, schema=SCHEMA)


def test_a_changed_text_loses_the_places_of_its_files_and_nothing_else():
    places = json.dumps({"file_starts": [0, 4], "paths": ["a", "b"]})
    given = batch(("abc\ndef", places), ("abc\ndef", places), ("x", None), ("y", "no json"), ("z", '["file_starts"]'))
    done = with_texts(given, pa.array(["abc\ndef", "def", "X", "Y", "Z"], pa.large_string()))
    assert done.schema == SCHEMA
    assert done.column("text").to_pylist() == ["abc\ndef", "def", "X", "Y", "Z"]
    metas = done.column("meta").to_pylist()
    assert metas[0] == places
    assert json.loads(metas[1]) == {"paths": ["a", "b"]}
    assert metas[2:] == [None, "no json", '["file_starts"]']
