"""A model that cannot learn 64 sequences by heart has something wrong with it, wherever that may be.

The sequences are real: 64 bytes each of 64 modules of Python's own library, a byte an id. `tiny` (42,464 parameters)
goes through the trainer, shards and all. Bytes alone don't suffice for that loss: their unigram entropy is above 3
nats. Even perfect memory keeps some loss, since the first byte of a sequence does not tell which one it is: at most
ln 64 / 63 = 0.066 nats a byte, and here much less.

Cost: about 13 s of one core, not shared.
"""

import sysconfig
from pathlib import Path

import numpy as np

from corpusmill.training.settings import TrainSettings
from corpusmill.training.trainer import train
from corpusmill.training.watching.metrics import read_metrics
from tests.training.shardmaker import write_shard

SEQUENCES, LENGTH, STEPS = 64, 64, 200


def _texts() -> list[bytes]:
    """From behind the licence that many modules begin with."""
    library = Path(sysconfig.get_paths()["stdlib"])
    modules = [path for path in sorted(library.glob("*.py")) if path.stat().st_size > 4096]
    return [path.read_bytes()[1024 : 1024 + LENGTH] for path in modules[:SEQUENCES]]


def test_tiny_memorises_64_real_sequences_to_a_tenth_of_a_nat(tmp_path: Path):
    texts = _texts()
    assert len(set(texts)) == SEQUENCES
    shares = np.bincount(np.frombuffer(b"".join(texts), np.uint8)) / (SEQUENCES * LENGTH)
    assert -(shares[shares > 0] * np.log(shares[shares > 0])).sum() > 3.0

    write_shard(tmp_path / "shards" / "shard-00000.arrow", [[list(text)] for text in texts], LENGTH)
    settings = TrainSettings(
        shards=str(tmp_path / "shards"),
        output=str(tmp_path / "run"),
        preset="tiny",
        steps=STEPS,
        batch_sequences=SEQUENCES,  # so that a step's loss is that of all sequences
        micro_batch=SEQUENCES,
        learning_rate=1e-2,
        weight_decay=0.0,
        threads=1,
        checkpoint_every=STEPS,
    )
    summary = train(settings, tmp_path / "state")
    history = [line["loss"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl")]
    assert history[0] > 5.0 and summary["train_loss"] < 0.1
