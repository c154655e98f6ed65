"""Numbers of passages in answers, as language models are told to write them."""

from __future__ import annotations

import re

END = re.compile(r"[.!?…]?[\"'”’)]*\s*$")


def marked(sentence: str, number: int) -> str:
    """With a passage's number before its end: It opens at nine [2]."""
    return END.sub(lambda end: f" [{number}]{end[0]}", sentence, count=1)
