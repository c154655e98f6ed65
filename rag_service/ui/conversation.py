"""What a browser session remembers: the turns of its conversation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from rag_service.ui.filters import told

# Turns that go with a question: enough for a follow-up, short enough for any generator.
HISTORY_TURNS = 6
# The service takes no more of one turn.
LONGEST_SAID = 20_000


@dataclass(frozen=True, slots=True)
class Scope:
    """Where and how to look; a turn keeps the one it was asked with."""

    collection: str | None = None
    filter: dict[str, Any] | None = None
    k: int = 5

    def __str__(self) -> str:
        parts = [f"in {self.collection}" if self.collection else "", told(self.filter)]
        return " · ".join(part for part in parts if part)


@dataclass(slots=True)
class Turn:
    """A question and what became of it: pending until one of the three below is set."""

    question: str
    scope: Scope = field(default_factory=Scope)
    answer: dict[str, Any] | None = None
    error: str = ""
    stopped: bool = False
    partial: str = ""
    feedback: dict[str, str] = field(default_factory=dict)
    said_outcome: str = ""
    """What became of what was said of it last."""
    said_in_vain: bool = False

    @property
    def pending(self) -> bool:
        return self.answer is None and not self.error and not self.stopped

    def ask_again(self) -> None:
        self.answer, self.error, self.stopped, self.partial = None, "", False, ""


def turns() -> list[Turn]:
    found: list[Turn] = st.session_state.setdefault("turns", [])
    return found


def ask(question: str, scope: Scope) -> None:
    if question.strip():
        turns().append(Turn(question.strip(), scope))


def start_anew() -> None:
    reopen(None, [])


def reopen(conversation_id: str | None, turns: list[Turn]) -> None:
    st.session_state["turns"] = turns
    st.session_state["conversation"] = conversation_id


def current() -> str | None:
    """The conversation's id with the service, once it has a first answer."""
    found: str | None = st.session_state.get("conversation")
    return found


def begin(conversation_id: str) -> bool:
    """Whether it is a new one."""
    is_new = current() != conversation_id
    st.session_state["conversation"] = conversation_id
    return is_new


def history(before: int) -> list[dict[str, str]]:
    """The answered turns before turn number `before`, oldest first."""
    said: list[dict[str, str]] = []
    for turn in [one for one in turns()[:before] if one.answer is not None][-HISTORY_TURNS:]:
        assert turn.answer is not None
        said.append({"role": "user", "content": turn.question})
        said.append({"role": "assistant", "content": str(turn.answer["answer"])[:LONGEST_SAID]})
    return said
