"""The workers' side of import: pieces of other formats' files to sequences, and those into shards."""

from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.exchange.documents import Documents, cut_documents, document_ids
from corpusmill.dataproc.exchange.formats import format_named
from corpusmill.dataproc.exchange.pieces import ReadOptions
from corpusmill.dataproc.sequences.packing import pack, report
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.pack.arguments import ImportWork
from corpusmill.pipelines.stages.pack.work.encoding import load_encoder
from corpusmill.pipelines.stages.pack.work.shard_writing import TokenisedDocuments, Written, write_group


def import_documents(task: TaskContext[ImportWork]) -> dict[str, Any]:
    """Packs the documents of some pieces into full shards, and a tail that the next phase joins to others."""
    work = task.arguments
    encoder = load_encoder(work.tokenizer)
    module = format_named(work.format)
    options = ReadOptions(encoder.special.eos, work.column, work.dtype)
    read_documents: list[Documents] = []
    names: list[pa.RecordBatch] = []
    for part in work.pieces:
        stem = f"{part.source}/{part.file}"
        for read in module.read(part.piece, options):
            documents = cut_documents(
                read,
                encoder.special,
                encoder.tokenizer.vocab_size,
                add_eos=work.eos,
                path=part.piece.path,
            )
            ids = document_ids(documents, stem)
            sources = pa.array([part.source]).take(pa.array(np.zeros(len(documents), np.int64)))
            read_documents.append(documents)
            names.append(pa.RecordBatch.from_arrays([ids, sources, pa.array(documents.fim)], ["id", "source", "fim"]))
    count = sum(len(documents) for documents in read_documents)
    result: dict[str, Any] = {
        "documents_in": count,
        "kept": count,
        "fim_documents": sum(int(documents.fim.sum()) for documents in read_documents),
        "padding_left_out": sum(documents.padding for documents in read_documents),
        "ends_added": sum(documents.ended for documents in read_documents),
        "parts": [],
        "tails": [],
    }
    if not count:
        return result
    tokens = [
        pa.LargeListArray.from_arrays(pa.array(documents.offsets), pa.array(documents.tokens))
        for documents in read_documents
    ]
    joined = TokenisedDocuments.join(list(zip(names, tokens, strict=True)))
    placement = pack(joined.lengths, work.sequence_length, work.packing)
    written = write_group(task, joined, placement, "", work.held_back, Written())
    result |= {"parts": written.parts, "tails": written.tails}
    measured = report(placement)
    if work.held_back:
        return result | {"validation_sequences": measured.sequences, "validation_documents": count}
    wanted = ("sequences", "tokens", "padding", "cut", "cut_needlessly")
    return result | {key: int(getattr(measured, key)) for key in wanted}
