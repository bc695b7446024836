"""Conversations as other people's JSON has them, checked, as turns: OpenAI's messages and ShareGPT's conversations.

    {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}
    {"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}

What is taken: roles system and developer, user, assistant, tool (and function), and ShareGPT's names of them; content
that is a text, or a list of parts that are all texts; an assistant's `tool_calls` beside or instead of content;
ShareGPT's `function_call`, and its `system` beside the conversation.

What is refused, with the reason: roles nobody knows; parts that are not text, such as images; messages without words; a
conversation without an answer to learn from, or in which the assistant speaks first; a system message after the first;
results of tools without a call, or not in the order of the calls; a weight of 0 on an answer; and declared `tools`,
because no template of ours shows them to a model, and calls of tools that it was not shown teach it to make them up.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

import orjson

from corpusmill.dataproc.conversations.turns import ARGUMENTS, ASSISTANT, CALL, MARK, SYSTEM, TOOL, USER, Turn

OPENAI, SHAREGPT = "messages", "conversations"
FIELDS = (OPENAI, SHAREGPT, "system", "tools")
"""Fields of a record that become the conversation, and not `meta`."""

ROLES = {
    "system": SYSTEM,
    "developer": SYSTEM,
    "user": USER,
    "assistant": ASSISTANT,
    "tool": TOOL,
    "function": TOOL,
}
FROM = {
    "system": SYSTEM,
    "human": USER,
    "user": USER,
    "gpt": ASSISTANT,
    "assistant": ASSISTANT,
    "model": ASSISTANT,
    "chatgpt": ASSISTANT,
    "bing": ASSISTANT,
    "bard": ASSISTANT,
    "function_call": CALL,
    "tool_call": CALL,
    "tool": TOOL,
    "observation": TOOL,
    "function_response": TOOL,
    "tool_response": TOOL,
}
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_ANSWERS = (ASSISTANT, CALL, ARGUMENTS)


class Refused(ValueError):
    """Why a record cannot be taken as a conversation, in words."""


def turns_of_record(record: dict[str, Any]) -> list[Turn]:
    """The turns of a record in either shape. Raises `Refused`."""
    if record.get("tools"):
        raise Refused("it declares tools, which chat templates here do not show to the model")
    if isinstance(messages := record.get(OPENAI), list):
        turns = _of_messages(messages)
    elif isinstance(messages := record.get(SHAREGPT), list):
        turns = _of_sharegpt(messages, record.get("system"))
    else:
        raise Refused(f"no list '{OPENAI}' or '{SHAREGPT}'")
    _check(turns)
    return turns


def _of_messages(messages: list[Any]) -> list[Turn]:
    turns: list[Turn] = []
    waiting: list[str | None] = []  # ids of calls whose results have not come
    for number, message in enumerate(messages, 1):
        where = f"message {number}"
        if not isinstance(message, dict):
            raise Refused(f"{where} is not an object")
        role = message.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise Refused(f"{where} has the role {_shown(role)}")
        kind = ROLES[role]
        calls = message.get("tool_calls") or message.get("function_call")
        words = _words(message.get("content"), where)
        if calls and kind != ASSISTANT:
            raise Refused(f"{where} calls tools, but is not an assistant's")
        if kind == ASSISTANT and message.get("weight") == 0:
            raise Refused(f"{where} has the weight 0; all answers are learned here")
        if not words and not calls and kind != TOOL:
            raise Refused(f"{where} says nothing")
        if kind == TOOL:
            _take_result(waiting, message.get("tool_call_id"), where)
        elif waiting:
            raise Refused(f"{where} comes before the results of the calls before it")
        turns.append(Turn(kind, words))
        if calls:
            for call in calls if isinstance(calls, list) else [{"function": calls}]:
                turns += _call(call.get("function") if isinstance(call, dict) else None, where)
                waiting.append(call.get("id"))
    return turns


def _of_sharegpt(messages: list[Any], system: Any) -> list[Turn]:
    turns = [Turn(SYSTEM, system)] if isinstance(system, str) and system else []
    waiting: list[str | None] = []
    for number, message in enumerate(messages, 1):
        where = f"message {number}"
        if not isinstance(message, dict):
            raise Refused(f"{where} is not an object")
        speaker = message.get("from")
        if not isinstance(speaker, str) or speaker not in FROM:
            raise Refused(f"{where} is from {_shown(speaker)}")
        kind, words = FROM[speaker], _words(message.get("value"), where)
        if not words and kind != TOOL:
            raise Refused(f"{where} says nothing")
        if kind == TOOL:
            _take_result(waiting, None, where)
        elif waiting and kind != CALL:
            raise Refused(f"{where} comes before the results of the calls before it")
        if kind != CALL:
            turns.append(Turn(kind, words))
            continue
        try:
            call = orjson.loads(words)
        except orjson.JSONDecodeError as error:
            raise Refused(f"{where} is a call that is not JSON: {error}") from error
        if not turns or turns[-1].kind not in (ASSISTANT, ARGUMENTS):
            turns.append(Turn(ASSISTANT, ""))
        turns += _call(call, where)
        waiting.append(None)
    return turns


def _words(content: Any, where: str) -> str:
    """The text of a message's content; "" for null. Raises `Refused` for what is not text."""
    if content is None:
        return ""
    if isinstance(content, list):
        texts = [
            part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in content
        ]
        if not all(isinstance(text, str) for text in texts):
            raise Refused(f"{where} has parts that are not text")
        content = "".join(texts)  # type: ignore[arg-type]  # all are str
    if not isinstance(content, str):
        raise Refused(f"{where} holds a {type(content).__name__} and no text")
    if MARK in content:
        raise Refused(f"{where} contains {MARK} (U+241E), which marks turns here")
    return content.replace("\0", "").replace("\r\n", "\n")


def _call(function: Any, where: str) -> list[Turn]:
    """The two turns of a call: its function's name, and its arguments as JSON."""
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Refused(f"{where} calls a tool without a name")
    arguments = function.get("arguments", "{}")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)  # as transformers' `tojson` writes it
    return [Turn(CALL, name), Turn(ARGUMENTS, _words(arguments, where))]


def _take_result(waiting: list[str | None], called: Any, where: str) -> None:
    if not waiting:
        raise Refused(f"{where} is the result of a call that was not made")
    wanted = waiting.pop(0)
    if called is not None and wanted is not None and called != wanted:
        raise Refused(f"{where} is the result of {_shown(called)}, not of the next call, {_shown(wanted)}")


def _check(turns: Iterable[Turn]) -> None:
    """Raises `Refused` for an order of turns from which nothing can be learned."""
    kinds = [turn.kind for turn in turns]
    if not kinds:
        raise Refused("no messages")
    if SYSTEM in kinds[1:]:
        raise Refused("a system message that is not the first")
    spoken = kinds[1:] if kinds[0] == SYSTEM else kinds
    if not spoken or spoken[0] != USER:
        raise Refused("it does not begin with a user's message")
    if not any(kind in _ANSWERS for kind in spoken):
        raise Refused("no answer by an assistant")


def _shown(value: Any) -> str:
    return ascii(value)[:40]
