"""Sequences of token shards: their segments, and each token in a colour of its own, special ones outlined."""

from typing import Any

from corpusmill.pipelines.inspect.sequences import PackedSequence, Segment, shards_of
from corpusmill.pipelines.visible import one_line, visible
from corpusmill.pipelines.window.page import Table, Values, View, page
from corpusmill.pipelines.window.ways import stage_trail

SHADES = 6
MIDDLE = 3
"""Which run of ordinary tokens of a rearranged document is what the hole held: prefix and suffix come before it."""
MOST_TOKENS = 20_000
"""Of a sequence, before the rest is only counted."""


@page("sequences.html")
def sequences(view: View) -> Values:
    """One sequence, by its number or by a document in it."""
    place = view.stage
    shards = shards_of(place)
    total, number = len(shards), view.number("start")
    document = view.text("document")
    if document and not view.text("start"):
        number = next((number for number, _ in shards.places_of(document)), number)
    number = min(number, max(total - 1, 0))
    sequence = shards.sequence(number) if total else None
    segments = _segments(sequence) if sequence else []
    rows = [[s["document"], s["source"], s["start"], s["length"], s["fim"]] for s in segments]
    return {
        "title": "Sequences",
        "trail": stage_trail(view),
        "command": ["inspect", "show", place.path, "--row", str(number), "--tokens"],
        "sequence": sequence,
        "number": number,
        "total": total,
        "segments": segments,
        "length": sum(segment["length"] for segment in segments),
        "document": document,
        "trained": _trained(sequence),
        "masked": sequence is not None and any(_is_masked(segment) for segment in sequence.segments),
        "rearranged": any(segment["fim"] for segment in segments),
        "story": f"{view.path.address}/document" if view.path.place.what == "run" else "",
        "table": Table(f"sequence-{number}", ("document", "source", "start", "length", "fim"), rows),
    }


def _is_masked(segment: Segment) -> bool:
    """Whether the shards say which of a segment's tokens are learned."""
    return bool(segment.pieces) and segment.pieces[0].learned is not None


def _trained(sequence: PackedSequence | None) -> int:
    """How many tokens of a sequence are targets."""
    segments = sequence.segments if sequence else []
    if any(_is_masked(segment) for segment in segments):
        return sum(len(piece.ids) for segment in segments for piece in segment.pieces if piece.learned)
    return max(sum(segment.length for segment in segments if segment.document is not None) - 1, 0)


def _segments(sequence: PackedSequence) -> list[dict[str, Any]]:
    left, shade = MOST_TOKENS, 0
    segments = []
    for segment in sequence.segments:
        tokens: list[tuple[str, int, str]] = []
        ordinary = 0
        for piece in segment.pieces:
            ordinary += not piece.special
            mask = " masked" if piece.learned is False else ""
            hole = " hole" if segment.fim and ordinary == MIDDLE else ""
            for number, spelled in zip(piece.ids[: max(left, 0)], piece.spelled, strict=False):
                if piece.special:
                    tokens.append((one_line(spelled.decode(errors="backslashreplace")), number, f"special{mask}"))
                else:
                    tokens.append(
                        (visible(spelled.decode(errors="backslashreplace")), number, f"c{shade % SHADES}{hole}{mask}")
                    )
                    shade += 1
            left -= len(piece.ids)
        segments.append(
            {
                "document": segment.document,
                "source": segment.source,
                "start": segment.start,
                "length": segment.length,
                "fim": segment.fim,
                "tokens": tokens,
                "left_out": max(0, sum(len(piece.ids) for piece in segment.pieces) - len(tokens)),
            }
        )
    return segments
