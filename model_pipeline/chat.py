"""Turns of a conversation as the text that a language model goes on from. A service that asks a
model and a fine-tune of it must show it the same text, to the character."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Turns = Sequence[Mapping[str, str]]
"""Each with its `role` and `content`."""


def prompt_text(tokenizer: Any, turns: Turns) -> str:
    """What stands before the answer, with the special tokens of transformers' `tokenizer`."""
    if tokenizer.chat_template is None:
        said = "\n\n".join(one["content"] for one in turns)
        return f"{tokenizer.bos_token or ''}{said}\n\nAnswer:"
    return str(
        tokenizer.apply_chat_template(
            accepted(turns, tokenizer),
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
    )


def accepted(turns: Turns, tokenizer: Any) -> list[dict[str, str]]:
    """Turns as the template takes them: some know no system turn, so that it leads the first."""
    from jinja2 import TemplateError

    given = [dict(one) for one in turns]
    try:
        tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=True)
    except TemplateError:
        system, first, *rest = given
        joined = {"role": "user", "content": f"{system['content']}\n\n{first['content']}"}
        return [joined, *rest]
    return given
