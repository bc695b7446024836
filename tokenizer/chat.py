"""Chat templates: what stands around the turns of a conversation, as special tokens of the tokenizer's layout.

A template is two things that say the same: a table for us, by which a turn's tokens follow from its kind and the kinds
of its neighbours, and a Jinja text for `transformers`, TRL and inference engines. They differ in one point, and it is
meant: here roles are ids that code puts in, so a message that spells `<｜User｜>` is a message of ordinary tokens,
where whoever renders text first and tokenises it then reads a turn of the user's. For all other messages the ids are
equal.

Families, by the special tokens that a tokenizer has:

    deepseek   <bos>system <｜User｜>question <｜Assistant｜>answer <eos>; calls of tools and results between marks
    chatml     <|im_start|>role LF content <|im_end|> LF
    llama3     <|begin_of_text|>, then <|start_header_id|>role<|end_header_id|> LF LF content <|eot_id|>

In the last two a role's name is ordinary text, but only between tokens that no text can spell. They have no form for
calls of tools, so a conversation with calls cannot be packed with them.

An answer is learned with the token that ends it: what the assistant says, and calls. In Jinja that is what stands in
`{% generation %}`, so `assistant_only_loss` of TRL masks the same tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from corpusmill.dataproc.conversations.turns import ARGUMENTS, ASSISTANT, CALL, KINDS, NONE, SYSTEM, TOOL, USER
from corpusmill.tokenizer.special import ASSISTANT as ASSISTANT_TOKEN
from corpusmill.tokenizer.special import BOS, EOS, TOOLS
from corpusmill.tokenizer.special import USER as USER_TOKEN

CHAT_TEMPLATE = "chat_template.jinja"
"""The file's name in a tokenizer folder, as transformers 5 writes it."""

_CALLS, _CALLS_END, _CALL, _CALL_END, _OUTPUTS, _OUTPUTS_END, _OUTPUT, _OUTPUT_END, _SEPARATOR = TOOLS


@dataclass(frozen=True)
class Around:
    """What stands around a turn.

    Attributes:
        before, after: special tokens by their spelling, or ordinary text, each with whether it is learned.
        head: ordinary text that is tokenised together with the turn's words, in front of them; never learned.
        learned: whether the words are learned.
    """

    before: tuple[tuple[str, bool], ...] = ()
    head: str = ""
    learned: bool = False
    after: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True)
class ChatTemplate:
    """A family of templates.

    Attributes:
        name: for records.
        needs: special tokens that the tokenizer has to have.
        ends: the special tokens that end an answer.
        jinja: the same for transformers.
        kinds: kinds of turns that it has a form for.
    """

    name: str
    needs: tuple[str, ...]
    ends: tuple[str, ...]
    jinja: str
    kinds: frozenset[int]

    def around(self, kind: int, before: int, after: int) -> Around:
        """What stands around a turn of a kind between turns of two others; `NONE` at the ends of a conversation."""
        if self.name == "deepseek":
            return _deepseek(kind, before, after)
        return _headed(kind, before, *_HEADED[self.name])

    def prompt(self, last: int) -> tuple[str, ...]:
        """What stands before an answer to a conversation whose last turn is of this kind: tokens, and ordinary text."""
        if self.name == "deepseek":
            return () if last == TOOL else (ASSISTANT_TOKEN,)
        around = _headed(ASSISTANT, last, *_HEADED[self.name])
        return (*(text for text, _ in around.before), around.head)


def _deepseek(kind: int, before: int, after: int) -> Around:
    first = ((BOS, False),) if before == NONE else ()
    end = ((_CALLS_END, True), (EOS, True)) if after != CALL else ()
    if kind == SYSTEM:
        return Around(first)
    if kind == USER:
        return Around((*first, (USER_TOKEN, False)))
    if kind == ASSISTANT:
        begun = () if before == TOOL else ((ASSISTANT_TOKEN, False),)
        return Around((*first, *begun), learned=True, after=((EOS, True),) if after != CALL else ())
    if kind == CALL:
        opened = ((_CALLS, True),) if before != ARGUMENTS else ()
        return Around((*opened, (_CALL, True)), learned=True, after=((_SEPARATOR, True),))
    if kind == ARGUMENTS:
        return Around(learned=True, after=((_CALL_END, True), *end))
    opened = ((_OUTPUTS, False),) if before != TOOL else ()
    closed = ((_OUTPUTS_END, False),) if after != TOOL else ()
    return Around((*opened, (_OUTPUT, False)), after=((_OUTPUT_END, False), *closed))


def _headed(kind: int, before: int, first: str, begin: str, named: str, head: str, end: str, gap: str) -> Around:
    """Templates that name the role of every turn."""
    answer = kind == ASSISTANT
    opened = ((first, False),) if before == NONE and first else ()
    role = ((KINDS[kind], False), (named, False)) if named else ()
    return Around(
        (*opened, (begin, False), *role),
        head=head if named else KINDS[kind] + head,
        learned=answer,
        after=((end, answer), *(((gap, False),) if gap else ())),
    )


_HEADED = {
    "chatml": ("", "<|im_start|>", "", "\n", "<|im_end|>", "\n"),
    "llama3": ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "\n\n", "<|eot_id|>", ""),
}
_PLAIN = frozenset((SYSTEM, USER, ASSISTANT))


def _unknown(other: str) -> str:
    return "{%- else -%}{{- raise_exception('no form for the role ' + message.role" + other + ") -}}{%- endif -%}"


def _deepseek_jinja() -> str:
    call = (
        f"{{{{- '{_CALL}' + call.function.name + '{_SEPARATOR}' -}}}}"
        "{%- if call.function.arguments is string -%}{{- call.function.arguments -}}"
        "{%- else -%}{{- call.function.arguments | tojson -}}{%- endif -%}"
        f"{{{{- '{_CALL_END}' -}}}}"
    )
    return (
        f"{{{{- '{BOS}' -}}}}{{%- set state = namespace(previous='') -%}}{{%- for message in messages -%}}"
        "{%- if message.role == 'system' -%}{{- message.content -}}"
        f"{{%- elif message.role == 'user' -%}}{{{{- '{USER_TOKEN}' + message.content -}}}}"
        "{%- elif message.role == 'assistant' -%}"
        f"{{%- if state.previous != 'tool' -%}}{{{{- '{ASSISTANT_TOKEN}' -}}}}{{%- endif -%}}"
        "{%- generation -%}{%- if message.content -%}{{- message.content -}}{%- endif -%}"
        f"{{%- if message.tool_calls -%}}{{{{- '{_CALLS}' -}}}}{{%- for call in message.tool_calls -%}}{call}"
        f"{{%- endfor -%}}{{{{- '{_CALLS_END}' -}}}}{{%- endif -%}}{{{{- '{EOS}' -}}}}{{%- endgeneration -%}}"
        "{%- elif message.role == 'tool' -%}"
        f"{{%- if state.previous != 'tool' -%}}{{{{- '{_OUTPUTS}' -}}}}{{%- endif -%}}"
        f"{{{{- '{_OUTPUT}' + message.content + '{_OUTPUT_END}' -}}}}"
        "{%- if loop.last or loop.nextitem.role != 'tool' -%}"
        f"{{{{- '{_OUTPUTS_END}' -}}}}{{%- endif -%}}"
        f"{_unknown('')}{{%- set state.previous = message.role -%}}{{%- endfor -%}}"
        "{%- if add_generation_prompt and state.previous != 'tool' -%}"
        f"{{{{- '{ASSISTANT_TOKEN}' -}}}}{{%- endif -%}}"
    )


def _headed_jinja(first: str, begin: str, named: str, head: str, end: str, gap: str) -> str:
    head, gap = (text.replace("\n", "\\n") for text in (head, gap))
    close = f"{named}{head}"
    after = f"{{{{- '{gap}' -}}}}" if gap else ""
    return (
        (f"{{{{- '{first}' -}}}}" if first else "")
        + "{%- for message in messages -%}"
        + f"{{%- if message.role in ['system', 'user'] -%}}{{{{- '{begin}' + message.role + '{close}' + message.content"
        + f" + '{end}' -}}}}{after}"
        + "{%- elif message.role == 'assistant' and not message.tool_calls -%}"
        + f"{{{{- '{begin}assistant{close}' -}}}}{{%- generation -%}}{{{{- message.content + '{end}' -}}}}"
        + f"{{%- endgeneration -%}}{after}"
        + _unknown("")
        + "{%- endfor -%}{%- if add_generation_prompt -%}"
        + f"{{{{- '{begin}assistant{close}' -}}}}{{%- endif -%}}"
    )


DEEPSEEK = ChatTemplate(
    name="deepseek",
    needs=(BOS, EOS, USER_TOKEN, ASSISTANT_TOKEN, *TOOLS),
    ends=(EOS,),
    jinja=_deepseek_jinja(),
    kinds=frozenset(range(len(KINDS))),
)
CHATML = ChatTemplate(
    name="chatml",
    needs=("<|im_start|>", "<|im_end|>"),
    ends=("<|im_end|>",),
    jinja=_headed_jinja(*_HEADED["chatml"]),
    kinds=_PLAIN,
)
LLAMA3 = ChatTemplate(
    name="llama3",
    needs=("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ends=("<|eot_id|>",),
    jinja=_headed_jinja(*_HEADED["llama3"]),
    kinds=_PLAIN,
)
TEMPLATES = (DEEPSEEK, CHATML, LLAMA3)


def template_of(spellings: Mapping[str, int]) -> ChatTemplate | None:
    """The template for a tokenizer with these special tokens (id by spelling); None where it has no roles."""
    return next((template for template in TEMPLATES if all(text in spellings for text in template.needs)), None)
