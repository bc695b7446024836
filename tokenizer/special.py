"""Special tokens as data: how they are spelled, which ids they get, and what they are for.

DeepSeek-V3 puts three in front of the bytes and merges (beginning and end of sentence, padding) and 815 behind: 800
placeholders, then fill-in-the-middle, roles, end of turn and tools; the model's embedding has 129,280 rows for its
128,815 ids. The preset `deepseek-v3` is that layout, for a vocabulary of any size. The preset `compact` is for small
models: the same tokens without placeholders, counted within the vocabulary size asked for.

Spellings are DeepSeek's, with fullwidth bars (U+FF5C) and lower blocks (U+2581); only `<|EOT|>` has ASCII bars.
The flag `special` (hidden when a reader skips special tokens) is theirs, too: FIM, roles and tools are not flagged.
"""

from dataclasses import dataclass, field

from dataproc.errors import UserError

BOS, EOS, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
FIM_HOLE, FIM_BEGIN, FIM_END = "<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>"
USER, ASSISTANT, EOT = "<｜User｜>", "<｜Assistant｜>", "<|EOT|>"
TOOLS = (
    *(f"<｜tool▁{part}▁{edge}｜>" for part in ("calls", "call", "outputs", "output") for edge in ("begin", "end")),
    "<｜tool▁sep｜>",
)

ROLES = {
    "bos": BOS,
    "eos": EOS,
    "pad": PAD,
    "fim_begin": FIM_BEGIN,
    "fim_hole": FIM_HOLE,
    "fim_end": FIM_END,
}
"""What the pipeline needs special tokens for, by the name that settings and shard files use."""


@dataclass(frozen=True)
class SpecialToken:
    """One special token. `special`: whether readers that skip special tokens hide it."""

    id: int
    text: str
    special: bool


@dataclass(frozen=True)
class SpecialTokens:
    """The special tokens of one tokenizer.

    Attributes:
        tokens: all of them, by rising id; the first ones come before the bytes, the others after the last merge.
        roles: id by role: bos, eos, pad, fim_begin, fim_hole, fim_end.
        vocab_size: ids in all, ordinary ones included.
        model_rows: rows that a model's embedding should have.
    """

    tokens: tuple[SpecialToken, ...]
    roles: dict[str, int]
    vocab_size: int
    model_rows: int
    ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", {token.text: token.id for token in self.tokens})

    @property
    def bos(self) -> int:
        return self.roles["bos"]

    @property
    def eos(self) -> int:
        return self.roles["eos"]

    @property
    def pad(self) -> int:
        return self.roles["pad"]

    @property
    def fim_begin(self) -> int:
        return self.roles["fim_begin"]

    @property
    def fim_hole(self) -> int:
        return self.roles["fim_hole"]

    @property
    def fim_end(self) -> int:
        return self.roles["fim_end"]


@dataclass(frozen=True)
class SpecialLayout:
    """A way of laying out special tokens around a vocabulary.

    Attributes:
        name: how settings call it.
        first: spellings of ids 0, 1, …; the BPE model holds these.
        last: spellings of the ids behind the last merge.
        counted: whether the vocabulary size that a user asks for includes `last`.
        rows_multiple: embedding rows are rounded up to a multiple of this. (1,280 gives DeepSeek-V3's 129,280 rows for
            128,815 ids; their own rule is not published.)
    """

    name: str
    first: tuple[str, ...]
    last: tuple[str, ...]
    counted: bool
    rows_multiple: int

    def model_size(self, vocab_size: int) -> int:
        """Ids of the BPE model (`first`, 256 bytes, merges), the `vocab_size` to train for. Raises UserError."""
        size = vocab_size - (len(self.last) if self.counted else 0)
        least = len(self.first) + 256
        if size < least:
            raise UserError(
                f"a vocabulary of {vocab_size:,} ids is too small for the layout '{self.name}'",
                mend=f"ask for {least + vocab_size - size:,} at least",
            )
        return size

    def tokens(self, model_size: int) -> SpecialTokens:
        """The special tokens around a BPE model of so many ids, those in `first` included."""
        texts = [*enumerate(self.first), *enumerate(self.last, model_size)]
        tokens = tuple(SpecialToken(number, text, _is_flagged(text)) for number, text in texts)
        ids = {token.text: token.id for token in tokens}
        vocab_size = model_size + len(self.last)
        rows = -(-vocab_size // self.rows_multiple) * self.rows_multiple
        return SpecialTokens(tokens, {role: ids[text] for role, text in ROLES.items()}, vocab_size, rows)


def _is_flagged(text: str) -> bool:
    return text in (BOS, EOS, PAD, EOT) or text.startswith("<｜place▁holder▁no▁")


_AFTER = (FIM_HOLE, FIM_BEGIN, FIM_END, USER, ASSISTANT, EOT, *TOOLS)

DEEPSEEK_V3 = SpecialLayout(
    name="deepseek-v3",
    first=(BOS, EOS, PAD),
    last=(*(f"<｜place▁holder▁no▁{number}｜>" for number in range(800)), *_AFTER),
    counted=False,
    rows_multiple=1280,
)
COMPACT = SpecialLayout(name="compact", first=(BOS, EOS, PAD), last=_AFTER, counted=True, rows_multiple=64)

LAYOUTS = {layout.name: layout for layout in (DEEPSEEK_V3, COMPACT)}


def layout_named(name: str) -> SpecialLayout:
    """The layout of that name. Raises UserError that lists the known ones."""
    if name not in LAYOUTS:
        raise UserError(f"unknown layout of special tokens '{name}'", mend=f"known: {', '.join(sorted(LAYOUTS))}")
    return LAYOUTS[name]
