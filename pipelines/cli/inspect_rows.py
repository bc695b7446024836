"""How a document and a sequence are shown: controls in their texts spelled out, nothing in them taken for markup."""

from rich.text import Text

from corpusmill.pipelines.guarded_streams import Console
from corpusmill.pipelines.inspect.documents import DocumentRow
from corpusmill.pipelines.inspect.sequences import PackedSequence, Piece, Segment
from corpusmill.pipelines.terminal import print_sentence
from corpusmill.pipelines.visible import excerpt, one_line, visible


def print_row(console: Console, row: DocumentRow, most: int = 0) -> None:
    where = f"row {row.number}: {row.path} row {row.row}"
    print_sentence(console, one_line(where), "bold")
    for name, value in row.values.items():
        if name != "text" and value is not None:
            line = Text(f"  {one_line(name)}: ", style="cyan").append(one_line(str(value)), style="none")
            console.print(line, soft_wrap=True)
    text = row.values.get("text")
    if text is not None:
        console.print(Text(excerpt(text, most) if most else visible(text)), soft_wrap=True)
    if most:
        console.print()


def print_sequence(console: Console, sequence: PackedSequence, tokens: bool, most: int = 0) -> None:
    group = f", group {sequence.group}" if sequence.group else ""
    where = f"sequence {sequence.number}: {sequence.path} row {sequence.row}{group}"
    print_sentence(console, one_line(where), "bold")
    for number, segment in enumerate(sequence.segments):
        print_sentence(console, _heading(number, segment), "cyan")
        line = Text.assemble(*map(_tokens, segment.pieces)) if tokens else _text(segment)
        if most and len(line) > most:
            line = line[:most].append("…")
        if segment.pieces:
            console.print(line, soft_wrap=True)
    if most:
        console.print()


def _heading(number: int, segment: Segment) -> str:
    if segment.document is None:
        return f"── padding, {segment.length} tokens"
    end = segment.start + segment.length
    fim = ", fill in the middle" if segment.fim else ""
    if segment.pieces and segment.pieces[0].learned is not None:
        fim += f", {sum(len(piece.ids) for piece in segment.pieces if piece.learned):,} learned"
    document, source = one_line(segment.document), one_line(segment.source)
    return f"── segment {number}: {document} ({source}), its tokens {segment.start} to {end}{fim}"


def _text(segment: Segment) -> Text:
    """A segment's text; what a mask says is learned stands between ▸ and ◂, with or without colours."""
    line, inside = Text(), False
    for piece in segment.pieces:
        if bool(piece.learned) != inside:
            inside = not inside
            line.append("▸" if inside else "◂", style="green")
        line.append_text(_plain(piece))
    return line.append("◂", style="green") if inside else line


def _plain(piece: Piece) -> Text:
    """Special tokens stand between ⟦ and ⟧, so that they differ from text that spells them."""
    if piece.special:
        return Text(f"⟦{one_line(piece.text)}⟧", style="bold magenta")
    return Text(visible(piece.text), style="dim" if piece.learned is False else "")


def _tokens(piece: Piece) -> Text:
    """A token a line, with its id; where there is a mask, learned ones are marked by ▸."""
    line = Text()
    mark = {None: "", True: "▸ ", False: "  "}[piece.learned]
    for number, spelled in zip(piece.ids, piece.spelled, strict=True):
        shown = one_line(spelled.decode(errors="backslashreplace"))
        line.append(f"{number:>8}  ", style="dim").append(mark, style="green")
        line.append(
            f"⟦{shown}⟧\n" if piece.special else f"'{shown}'\n", style="bold magenta" if piece.special else "none"
        )
    return line
