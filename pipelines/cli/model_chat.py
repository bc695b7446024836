"""`corpusmill model generate --chat` without a prompt: a conversation, a line of standard input at a time.

At a terminal each line is asked for with `> `; from a pipe lines are read as they are, and answers alone are printed. A
line is a message; `/new` forgets what was said, `/quit` and the end of input end it. The whole conversation is encoded
anew for each answer, as it was in training.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from corpusmill.pipelines.summary import SCHEMA, print_json
from corpusmill.pipelines.visible import visible

if TYPE_CHECKING:
    from corpusmill.pipelines.generation import Generated, TextGenerator

QUIT, NEW = "/quit", "/new"


def converse(writer: "TextGenerator", system: str | None, how: Mapping[str, Any], as_json: bool) -> None:
    """Answers line after line; with `as_json` a JSON object an answer."""
    from corpusmill.pipelines.generation import conversation

    said: list[str] = []
    writer.chat  # noqa: B018  # a tokenizer without a template is an error before anything is asked
    for line in _lines():
        if line == NEW:
            said = []
            continue
        turns = conversation(*said, line, system=system)
        answer: Generated | None = None
        for piece in writer.stream([turns], **how):
            answer = piece.whole
            if not as_json:
                sys.stdout.write(visible(piece.text))
                sys.stdout.flush()
        assert answer is not None, "a stream ends with its text"
        if as_json:
            print_json({"schema": SCHEMA, "number": len(said) // 2, **asdict(answer)}, indent=None)
        else:
            sys.stdout.write("\n")
            sys.stdout.flush()
        said += [line, answer.text]


def _lines() -> Iterator[str]:
    """What is said, until it is enough; blank lines are left out."""
    asking = sys.stdin.isatty()
    while True:
        if asking:
            sys.stderr.write("> ")
            sys.stderr.flush()
        line = sys.stdin.readline()
        if not line or line.strip() == QUIT:
            return
        if text := line.strip():
            yield text
