"""Special tokens as data: how they are spelled, which ids they get, and what they are for.

A layout puts some in front of the bytes and merges and the others behind. The presets are those of well-known models,
for a vocabulary of any size; other layouts come as settings (`special_records.py`).

- deepseek-v3: three in front (beginning and end of sentence, padding) and 815 behind: 800 placeholders, then
  fill-in-the-middle, roles, end of turn and tools; an embedding of 129,280 rows for 128,815 ids. Spellings have
  fullwidth bars (U+FF5C) and lower blocks (U+2581); only `<|EOT|>` has ASCII bars. The flag `special` (hidden when a
  reader skips special tokens) is theirs, too: FIM, roles and tools are not flagged.
- compact: for small models: the same without placeholders, counted within the vocabulary size asked for.
- gpt2: `<|endoftext|>` alone, counted; it begins and ends documents, and pads.
- llama3: 256 behind, most of them reserved, as in Llama 3.1. No FIM.
- chatml: `<|endoftext|>`, the two marks of a turn, and FIM, counted. As in Qwen's files, `<|endoftext|>` pads, too.
- qwen2.5: the 22 of Qwen2.5, FIM, tools and places in images among them.
"""

from dataclasses import dataclass, field

from corpusmill.dataproc.errors import UserError

BOS, EOS, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
FIM_HOLE, FIM_BEGIN, FIM_END = "<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>"
USER, ASSISTANT, EOT = "<｜User｜>", "<｜Assistant｜>", "<|EOT|>"
TOOLS = (
    *(f"<｜tool▁{part}▁{edge}｜>" for part in ("calls", "call", "outputs", "output") for edge in ("begin", "end")),
    "<｜tool▁sep｜>",
)

ROLES = ("bos", "eos", "pad", "fim_begin", "fim_hole", "fim_end")
"""What the pipeline needs special tokens for, by the name that settings and shard files use. FIM's three come before
the prefix, before the suffix and before the middle."""


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
        tokens: all of them, by rising id.
        roles: id by role, some of `ROLES`; a tokenizer need not have a token for each.
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

    def role(self, name: str) -> int:
        """The id of a role. Raises UserError when no token has it."""
        if name not in self.roles:
            raise UserError(
                f"the tokenizer has no special token for the role '{name}'", hint="name one when it is made"
            )
        return self.roles[name]

    @property
    def bos(self) -> int:
        return self.role("bos")

    @property
    def eos(self) -> int:
        return self.role("eos")

    @property
    def pad(self) -> int:
        return self.role("pad")

    @property
    def fim_begin(self) -> int:
        return self.role("fim_begin")

    @property
    def fim_hole(self) -> int:
        return self.role("fim_hole")

    @property
    def fim_end(self) -> int:
        return self.role("fim_end")


@dataclass(frozen=True)
class SpecialLayout:
    """A way of laying out special tokens around a vocabulary.

    Attributes:
        name: for people and records.
        first: spellings of ids 0, 1, …; the BPE model holds these.
        last: spellings of the ids behind the last merge.
        roles: spelling by role, some of `ROLES`.
        visible: spellings that readers show even when they skip special tokens; the others are flagged as special.
        counted: whether the vocabulary size that a user asks for includes `last`.
        rows_multiple: embedding rows are rounded up to a multiple of this. (1,280 gives DeepSeek-V3's 129,280 rows for
            128,815 ids; their own rule is not published.)
    """

    name: str
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    roles: dict[str, str] = field(default_factory=dict)
    visible: frozenset[str] = frozenset()
    counted: bool = True
    rows_multiple: int = 64

    def model_size(self, vocab_size: int) -> int:
        """Ids of the BPE model (`first`, 256 bytes, merges), the `vocab_size` to train for. Raises UserError."""
        size = vocab_size - (len(self.last) if self.counted else 0)
        least = len(self.first) + 256
        if size < least:
            raise UserError(
                f"a vocabulary of {vocab_size:,} ids is too small for the layout '{self.name}'",
                hint=f"use at least {least + vocab_size - size:,}",
            )
        return size

    def tokens(self, model_size: int) -> SpecialTokens:
        """The special tokens around a BPE model of so many ids, those in `first` included."""
        texts = [*enumerate(self.first), *enumerate(self.last, model_size)]
        tokens = tuple(SpecialToken(number, text, text not in self.visible) for number, text in texts)
        ids = {token.text: token.id for token in tokens}
        vocab_size = model_size + len(self.last)
        rows = -(-vocab_size // self.rows_multiple) * self.rows_multiple
        return SpecialTokens(tokens, {role: ids[text] for role, text in self.roles.items()}, vocab_size, rows)


_ROLES = {"bos": BOS, "eos": EOS, "pad": PAD, "fim_begin": FIM_BEGIN, "fim_hole": FIM_HOLE, "fim_end": FIM_END}
_AFTER = (FIM_HOLE, FIM_BEGIN, FIM_END, USER, ASSISTANT, EOT, *TOOLS)

DEEPSEEK_V3 = SpecialLayout(
    name="deepseek-v3",
    first=(BOS, EOS, PAD),
    last=(*(f"<｜place▁holder▁no▁{number}｜>" for number in range(800)), *_AFTER),
    roles=_ROLES,
    visible=frozenset(_AFTER) - {EOT},
    counted=False,
    rows_multiple=1280,
)
COMPACT = SpecialLayout("compact", (BOS, EOS, PAD), _AFTER, _ROLES, DEEPSEEK_V3.visible)

_END_OF_TEXT = "<|endoftext|>"
_ENDS = {"bos": _END_OF_TEXT, "eos": _END_OF_TEXT, "pad": _END_OF_TEXT}
_FIM = {"fim_begin": "<|fim_prefix|>", "fim_hole": "<|fim_suffix|>", "fim_end": "<|fim_middle|>"}

GPT2 = SpecialLayout(name="gpt2", last=(_END_OF_TEXT,), roles=_ENDS)
CHATML = SpecialLayout(
    name="chatml",
    last=(_END_OF_TEXT, "<|im_start|>", "<|im_end|>", *_FIM.values()),
    roles=_ENDS | _FIM,
    visible=frozenset(_FIM.values()),
)
_PLACES = ("object_ref_start", "object_ref_end", "box_start", "box_end", "quad_start", "quad_end")
_IMAGES = ("vision_start", "vision_end", "vision_pad", "image_pad", "video_pad")
_CODE = ("fim_prefix", "fim_middle", "fim_suffix", "fim_pad", "repo_name", "file_sep")
_SHOWN = ("<tool_call>", "</tool_call>", *(f"<|{name}|>" for name in _CODE))
QWEN2_5 = SpecialLayout(
    name="qwen2.5",
    last=(_END_OF_TEXT, "<|im_start|>", "<|im_end|>", *(f"<|{name}|>" for name in (*_PLACES, *_IMAGES)), *_SHOWN),
    roles=_ENDS | _FIM,
    visible=frozenset(_SHOWN),
    counted=False,
    rows_multiple=128,
)


def _reserved(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"<|reserved_special_token_{number}|>" for number in range(first, last + 1))


LLAMA3 = SpecialLayout(
    name="llama3",
    last=(
        *("<|begin_of_text|>", "<|end_of_text|>", *_reserved(0, 1), "<|finetune_right_pad_id|>", *_reserved(2, 2)),
        *(f"<|{name}|>" for name in ("start_header_id", "end_header_id", "eom_id", "eot_id", "python_tag")),
        *_reserved(3, 247),
    ),
    roles={"bos": "<|begin_of_text|>", "eos": "<|end_of_text|>", "pad": "<|finetune_right_pad_id|>"},
    counted=False,
    rows_multiple=128,
)

LAYOUTS = {layout.name: layout for layout in (DEEPSEEK_V3, COMPACT, GPT2, LLAMA3, CHATML, QWEN2_5)}


def layout_named(name: str) -> SpecialLayout:
    """The layout of that name. Raises UserError that lists the known ones."""
    if name not in LAYOUTS:
        raise UserError(f"unknown layout of special tokens '{name}'", hint=f"known: {', '.join(sorted(LAYOUTS))}")
    return LAYOUTS[name]
