"""Requests, bytes over the network, hours and dollars by stage, for so many TB of text: the tables of docs/scale.md.

    python benchmarks/scale.py [--terabytes 60] [--nodes 10] [--cores 64] [--gbit 25] [--node-price 3.23]

Arithmetic over what was measured: the rates of each stage's description (`benchmarks/stage_rates.py`), its bytes on
disk a byte of text, and the requests of an object as `dataproc/stores` makes them (reads by 4 MiB and one HEAD beyond
the first block, writes by 8 MiB parts). Prices are arguments; the defaults are AWS list prices of us-east-1, taken as
given here: $0.0004 for a thousand GETs, $0.005 for a thousand PUTs, a node of 64 vCPUs (m7i.16xlarge) $3.23 an hour.
"""

import argparse
from dataclasses import dataclass
from math import ceil

from corpusmill.dataproc.stores.reading import BLOCK
from corpusmill.dataproc.stores.writing import PART
from corpusmill.pipelines.registry import require_description
from corpusmill.pipelines.stages.blocks import PARTITION_BYTES
from corpusmill.pipelines.stages.dedup.plan import PARTITIONS

PART_BYTES = 128 << 20
DOCUMENT_BYTES = 2400
STORED = 0.27
"""Bytes of a part, or of compressed JSON lines, a byte of text."""
KEY_BYTES = (18 + 1) * 24
WORK_BYTES = 848
"""Of a document in dedup's work folder: signatures, bands, digests, numbers."""
GET_PRICE, PUT_PRICE = 0.0004e-3, 0.005e-3


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What a stage moves, in bytes and requests."""

    read: float
    written: float
    gets: float
    puts: float


def reads(size: float) -> int:
    """Requests to read an object in order."""
    return 1 if size < BLOCK else 1 + ceil(size / BLOCK)


def writes(size: float) -> int:
    """Requests to write one: a PUT, or parts between a beginning and an end."""
    return 1 if size <= PART else 2 + ceil(size / PART)


def traffic_of(text: float) -> dict[str, Traffic]:
    """By stage, for so many bytes of text."""
    parts = text / PART_BYTES
    part = PART_BYTES * STORED
    documents = text / DOCUMENT_BYTES
    blocks = max(1.0, documents / (1 << 20))
    partitions = min(PARTITIONS, 1 + documents * KEY_BYTES // PARTITION_BYTES)
    shard = 8 * (1 << 20) * 4.1
    shards = text * 1.03 / shard
    in_blocks = documents * WORK_BYTES
    return {
        "ingest": Traffic(
            read=text * STORED, written=text * STORED, gets=parts * reads(part), puts=parts * (writes(part) + 1)
        ),
        "filter": Traffic(
            read=text * STORED, written=text * 0.35, gets=parts * reads(part), puts=parts * (writes(part) + 4)
        ),
        "dedup": Traffic(
            read=3 * text * STORED + documents * (KEY_BYTES + 24),
            written=text * 0.24 + in_blocks,
            gets=3 * parts * reads(part) + 2 * 2 * blocks * partitions,
            puts=parts * (writes(part) + 2) + blocks * (7 + in_blocks / blocks / PART),
        ),
        "pack": Traffic(
            read=text * STORED, written=text * 1.03, gets=parts * reads(part), puts=shards * (writes(shard) + 1)
        ),
    }


def print_tables(terabytes: float, nodes: int, cores: int, gbit: float, node_price: float) -> None:
    """Prints both tables."""
    text = terabytes * 1e12
    print(
        f"| stage, {terabytes:g} TB | GET | PUT | requests $ | read TB | written TB | core-h | compute h | network h |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    hours = dollars = 0.0
    for name, moved in traffic_of(text).items():
        rates = require_description(name).rates
        assert rates is not None
        core_hours = text / (rates.megabytes_per_second * 1e6) / 3600
        compute = core_hours / (nodes * cores)
        network = max(moved.read, moved.written) * 8 / (gbit * 1e9 * nodes) / 3600
        price = moved.gets * GET_PRICE + moved.puts * PUT_PRICE
        hours, dollars = hours + max(compute, network), dollars + price
        print(
            f"| {name} | {moved.gets / 1e6:.2f} M | {moved.puts / 1e6:.2f} M | {price:,.0f} | {moved.read / 1e12:.1f} "
            f"| {moved.written / 1e12:.1f} | {core_hours:,.0f} | {compute:.2f} | {network:.2f} |"
        )
    print(
        f"{nodes} nodes of {cores} cores and {gbit:g} Gbit/s: {hours:.1f} h at the least, "
        f"${hours * nodes * node_price:,.0f} for nodes at ${node_price}/h, ${dollars:,.0f} for requests"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--terabytes", type=float, default=60)
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--cores", type=int, default=64)
    parser.add_argument("--gbit", type=float, default=25)
    parser.add_argument("--node-price", type=float, default=3.23)
    print_tables(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
