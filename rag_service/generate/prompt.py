"""What a language model is shown: a versioned template, and text that cannot step out of its place.

Passages, the question and what was said before are data from strangers. Strings that a chat
template or a tokenizer would read as more than text are broken up, and each passage stands in a
fence whose code occurs nowhere in what was retrieved or asked, so that no passage can close it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from model_pipeline.domain import Passage, Turn
from model_pipeline.errors import TooLarge
from rag_service.generate.writer import Message, Reader

CURRENT = "answer-1"
# What chat templates put between turns, whichever model reads them: <|im_start|>, [INST],
# <<SYS>>, <start_of_turn>, <s>, <think>, <｜User｜>.
CONTROL = re.compile(
    r"<[|｜][^<>|｜\n]{1,40}[|｜]>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_\w+)\]|<</?SYS>>|"
    r"</?(?:s|bos|eos|pad|unk|start_of_turn|end_of_turn|start_of_image|think|tool_call|"
    r"tool_response|tools|function_call)>",
    re.IGNORECASE,
)
MARKER = re.compile(r"\s?\[\d{1,3}\]")  # of an answer before: it counted other passages
# What templates add around each message, at most; measured ones take 4 to 12.
AROUND_MESSAGE = 16
HISTORY_SHARE = 0.25


class Template:
    """A file of rag_service/prompts. `name` holds its name and the first of its SHA-256."""

    def __init__(self, template: str) -> None:
        source = (files("rag_service.prompts") / f"{template}.j2").read_text("utf-8")
        self.name = f"{template}-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
        environment = ImmutableSandboxedEnvironment(
            autoescape=False,
            undefined=StrictUndefined,
        )
        self._template = environment.from_string(source)

    def block(self, name: str, **values: Any) -> str:
        return "".join(self._template.blocks[name](self._template.new_context(values)))


class Prompt:
    """`name` is the template's."""

    def __init__(self, template: str = CURRENT) -> None:
        self._template = Template(template)
        self.name = self._template.name

    def messages(
        self, question: str, passages: Sequence[Passage], history: Sequence[Turn], writer: Reader
    ) -> tuple[list[Message], int]:
        """What goes to `writer`, and how many of the passages, best first, had room in its context.

        Of what was said before the newest turns stay. Raises TooLarge where the question alone
        leaves no room.
        """
        asked = plain(question, writer.special_tokens)
        texts = [
            (_place(one, writer.special_tokens), plain(one.content, writer.special_tokens))
            for one in passages
        ]
        fence = fence_for([asked, *(part for text in texts for part in text)])
        system = self._template.block("system")
        budget = writer.context_tokens - writer.max_new_tokens - 2 * AROUND_MESSAGE
        budget -= writer.count_tokens(system)
        budget -= writer.count_tokens(self._user(fence, [], asked))
        turns = _newest(history, int(HISTORY_SHARE * budget), writer)
        budget -= sum(writer.count_tokens(one.content) + AROUND_MESSAGE for one in turns)

        def block(number: int, place: str, content: str) -> str:
            return self._template.block(
                "passage", fence=fence, number=number, place=place, content=content
            )

        blocks: list[str] = []
        for number, (place, content) in enumerate(texts, start=1):
            one = block(number, place, content)
            if (size := writer.count_tokens(one)) > budget:
                if blocks:
                    break
                # Even the nearest is too long: its beginning is better than nothing.
                one = _cut(lambda text: block(1, place, text), content, budget, writer)  # noqa: B023
                size = budget
            blocks.append(one)
            budget -= size
        user = Message("user", self._user(fence, blocks, asked))
        return [Message("system", system), *turns, user], len(blocks)

    def _user(self, fence: str, blocks: Sequence[str], question: str) -> str:
        return self._template.block(
            "user", fence=fence, passages="\n".join(blocks), question=question
        )


def plain(text: str, special: Sequence[str] = ()) -> str:
    """`text` without anything that a chat template or a tokenizer takes for more than text."""
    text = CONTROL.sub(lambda match: _apart(match[0]), text)
    for token in sorted(special, key=len, reverse=True):
        text = text.replace(token, _apart(token))
    return text


def _apart(token: str) -> str:
    return f"{token[0]} {token[1:]}"


def _place(passage: Passage, special: Sequence[str]) -> str:
    parts = dict.fromkeys(part for part in (passage.title, *passage.heading_path) if part)
    return plain(" ".join(" > ".join(parts).split())[:300], special)


def fence_for(texts: Sequence[str]) -> str:
    """A code that stands in none of the texts. It follows from them, so that a question that is
    asked again is the same prompt; who writes one passage knows neither the others nor the
    question, and a text that held its own code would get another one."""
    digest = hashlib.sha256("\0".join(texts).encode("utf-8", "replace"))
    while any((code := digest.hexdigest()[:12]) in text.lower() for text in texts):
        digest.update(b"again")
    return code


def _newest(history: Sequence[Turn], budget: int, writer: Reader) -> list[Message]:
    """The newest turns that fit whole, from a question on."""
    kept: list[Message] = []
    for turn in reversed(history):
        text = plain(turn.content, writer.special_tokens)
        message = Message(turn.role, MARKER.sub("", text) if turn.role == "assistant" else text)
        budget -= writer.count_tokens(message.content) + AROUND_MESSAGE
        if budget < 0:
            break
        kept.append(message)
    kept.reverse()
    # Templates want roles in turns, a user's first and, before the new question, an assistant's.
    turns: list[Message] = []
    for message in kept:
        wanted = "assistant" if len(turns) % 2 else "user"
        if message.role == wanted:
            turns.append(message)
        elif turns:
            turns[-1] = Message(turns[-1].role, f"{turns[-1].content}\n{message.content}")
    return turns if len(turns) % 2 == 0 else turns[:-1]


def _cut(block: Callable[[str], str], content: str, budget: int, writer: Reader) -> str:
    """The longest beginning of `content`, to about 1%, whose block fits."""
    low, high = 0, len(content)
    while high - low > max(1, len(content) // 100):
        middle = (low + high) // 2
        if writer.count_tokens(block(content[:middle])) <= budget:
            low = middle
        else:
            high = middle
    if not low:
        raise TooLarge(
            f"The question leaves no room for passages in the {writer.context_tokens:,} tokens "
            "that the model reads: ask in fewer words."
        )
    return block(content[:low])
