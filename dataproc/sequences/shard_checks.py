"""Whether a shard holds what a shard may hold: ids, segments, padding, ends of documents and FIM markers.

A digest shows that a file is as it was written; this shows that what was written makes sense. It is vectorised over
record batches, at about 100 million tokens/s. What can only be seen across shards (every document whole and once) is
`pipelines.inspect.coverage`'s to check.
"""

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.sequences.shards import ShardHeader, batch_learned, batch_tokens, open_shard


def verify_shard(path: str, examples: int = 3) -> list[str]:
    """What is wrong with a shard's content: a line for each kind of problem, with its count and first places.

    Checked: ids below `vocab_size`; segments that are not empty, start at 0 or later and fit their sequence; padding
    after the last segment and nowhere else; eos only at a segment's end, but for conversations, whose answers end with
    it; nothing learned in padding or at the beginning of a segment; FIM markers once each and in their order in a
    rearranged document, never in a plain one (a document cut by its length has part of them). Raises UserError as
    `open_shard` does. Memory: a few times one record batch.
    """
    header, table = open_shard(path)
    try:
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        return [f"damaged columns: {error}"]
    problems: dict[str, list[str]] = {}
    row = 0
    for batch in table.to_batches():
        tokens = batch_tokens(header, batch)
        learned = batch_learned(header, batch) if header.learned else None
        for kind, rows in _batch_problems(header, tokens, batch.column("segments"), learned):
            problems.setdefault(kind, []).extend(str(row + int(r)) for r in rows)
        row += len(tokens)
    return [
        f"{kind}: {len(rows)} (sequence {', '.join(rows[:examples])}{', …' if len(rows) > examples else ''})"
        for kind, rows in problems.items()
    ]


def _batch_problems(
    header: ShardHeader, tokens: np.ndarray, segments: pa.ListArray, learned: np.ndarray | None
) -> list[tuple[str, np.ndarray]]:
    """(kind, rows of the batch) for every kind of problem that occurs."""
    special, length = header.special, header.sequence_length
    bounds = segments.offsets.to_numpy().astype(np.int64)
    flat = segments.values
    lengths = flat.field("length").to_numpy().astype(np.int64)
    starts = flat.field("start").to_numpy()
    fim = flat.field("fim").to_numpy(zero_copy_only=False)
    sequence = np.repeat(np.arange(len(tokens)), np.diff(bounds))
    used = np.bincount(sequence, lengths[bounds[0] : bounds[-1]], minlength=len(tokens)).astype(np.int64)
    problems = [
        (
            "token ids outside the vocabulary",
            np.flatnonzero(((tokens < 0) | (tokens >= header.vocab_size)).any(axis=1)),
        ),
        ("empty segments", sequence[lengths[bounds[0] : bounds[-1]] < 1]),
        ("segments that start before their document", sequence[starts[bounds[0] : bounds[-1]] < 0]),
        ("segments longer than their sequence", np.flatnonzero(used > length)),
        ("sequences without a segment", np.flatnonzero(np.diff(bounds) == 0)),
    ]
    if any(len(rows) for _, rows in problems[1:4]):
        return [(kind, rows) for kind, rows in problems if len(rows)]

    inside = np.arange(length) < used[:, None]
    problems.append(
        ("padding that is not the pad token", np.flatnonzero(((tokens != special.pad) & ~inside).any(axis=1)))
    )
    if special.pad not in (special.eos, special.bos):
        problems.append(("pad tokens inside segments", np.flatnonzero(((tokens == special.pad) & inside).any(axis=1))))

    lengths, starts, fim = (values[bounds[0] : bounds[-1]] for values in (lengths, starts, fim))
    ends_within = np.cumsum(lengths) - np.repeat((np.cumsum(used) - used), np.diff(bounds))
    first_token = sequence * length + ends_within - lengths  # place in the flat batch
    last_token = first_token + lengths - 1
    if learned is not None:
        problems.append(("learned tokens in padding", np.flatnonzero((learned & ~inside).any(axis=1))))
        problems.append(("learned tokens that nothing precedes", sequence[learned.reshape(-1)[first_token]]))
    everything = tokens.reshape(-1)

    def places(token: int | None) -> tuple[np.ndarray, np.ndarray]:
        """(place in the batch, number of the segment) wherever the token stands inside a segment."""
        where = (
            np.flatnonzero((everything == token) & inside.reshape(-1)) if token is not None else np.empty(0, np.int64)
        )
        return where, np.searchsorted(first_token, where, side="right") - 1

    eos_at, eos_in = places(special.eos)
    early = (eos_at != last_token[eos_in]) & ~((special.bos == special.eos) & (eos_at == first_token[eos_in]))
    if learned is None:
        problems.append(("end tokens inside segments", sequence[eos_in[early]]))

    whole = (starts == 0) & (everything[last_token] == special.eos)
    unbalanced = np.zeros(len(lengths), bool)
    previous = np.full(len(lengths), -1, np.int64)
    for marker in (special.fim_begin, special.fim_hole, special.fim_end):
        at, number = places(marker)
        count = np.bincount(number, minlength=len(lengths))
        unbalanced |= np.where(fim, (count > 1) | (whole & (count != 1)), count > 0)
        once = number[count[number] == 1]
        position = at[count[number] == 1]
        unbalanced[once] |= position < previous[once]
        previous[once] = position
    problems.append(("unbalanced FIM tokens", sequence[unbalanced]))
    return [(kind, np.unique(rows)) for kind, rows in problems if len(rows)]
