"""The conversation: questions, answers as they come, their sources, and what went wrong."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import StopException

from rag_service.client import Client
from rag_service.ui import citations, conversation, feedback, service
from rag_service.ui.conversation import Turn

# Seconds between two paints of a growing answer: smooth to the eye, light for the browser.
PAINT_EVERY_S = 0.04
STOPPED = "You stopped this answer."
FLAGGED = "The judge of bias rates this answer below the level that this service sets."
USER, ASSISTANT = ":material/person:", ":material/auto_stories:"


def show(client: Client, *, may_say: bool) -> bool:
    """Whether a conversation began. `may_say`: feedback is taken from this reader."""
    began = False
    for index, turn in enumerate(conversation.turns()):
        with st.chat_message("user", avatar=USER):
            st.html(citations.question_html(turn.question, str(turn.scope)))
        with st.chat_message("assistant", avatar=ASSISTANT):
            slot, below = st.empty(), st.empty()
            if turn.pending:
                # Nothing can be drawn any more once the reader stops the run: so this is drawn
                # before, and style.css shows it only where the run has ended.
                with below.container(key=f"stopped-{index}"):
                    _offer_again(turn, f"resume-{index}", "calm", STOPPED, "Ask again")
                began |= _stream(client, turn, index, slot)
                below.empty()
            _show_outcome(turn, index, slot)
            if turn.answer is not None and may_say:
                feedback.show(client, turn, index)
    return began


def _stream(client: Client, turn: Turn, index: int, slot: DeltaGenerator) -> bool:
    """Fills `turn` and shows it growing. A rerun in between leaves it pending: it is asked anew.
    Whether a conversation began with it."""
    turn.partial = ""
    painted = 0.0
    slot.html(_waiting("Searching the documents"))
    try:
        for event, data in service.ask_stream(
            client, turn.question, turn.scope, conversation.history(index), conversation.current()
        ):
            if event == "passages":
                slot.html(_waiting(f"Reading {_passages(len(data))}"))
            elif event == "delta":
                turn.partial += data
                if time.monotonic() - painted > PAINT_EVERY_S:
                    painted = time.monotonic()
                    slot.html(
                        citations.answer_html(turn.partial, turn=index, citations=(), live=True)
                    )
            elif event == "done":
                turn.answer = data
                return conversation.begin(data["conversation_id"])
        turn.error = "The answer broke off before its end."
    except service.ServiceError as error:
        turn.error = str(error)
    except StopException:
        turn.stopped = True
        raise
    return False


def _show_outcome(turn: Turn, index: int, slot: DeltaGenerator) -> None:
    if turn.answer is None:
        _show_failure(turn, index, slot)
    elif turn.answer["declined"]:
        slot.html(citations.notice_html("calm", str(turn.answer["answer"])))
        if turn.answer["passages"]:
            st.html(citations.nearest_html(turn.answer["passages"], turn=index))
    else:
        found = turn.answer["citations"]
        slot.html(
            citations.answer_html(
                turn.answer["answer"],
                turn=index,
                citations=found,
                unsupported=turn.answer["unsupported"],
            )
        )
        if found:
            st.html(citations.sources_html(found, turn=index))
    if turn.answer is not None and turn.answer["fallback"]:
        st.html(f'<div class="p-fallback">{citations.escape(turn.answer["fallback"])}</div>')
    if turn.answer is not None and _is_flagged(turn.answer):
        st.html(f'<div class="p-fallback">{FLAGGED}</div>')
    if turn.answer is not None and (measured := citations.timings(turn.answer)):
        st.html(f'<div class="p-timings">{citations.escape(measured)}</div>')


def _is_flagged(answer: Mapping[str, Any]) -> bool:
    bias = answer["bias"]
    return bool(bias and bias["flagged"] and not bias["withheld"])


def _show_failure(turn: Turn, index: int, slot: DeltaGenerator) -> None:
    if turn.partial:
        slot.html(citations.answer_html(turn.partial, turn=index, citations=()))
    else:
        slot.empty()
    if turn.stopped:
        _offer_again(turn, f"again-{index}", "calm", STOPPED, "Ask again")
    else:
        _offer_again(turn, f"again-{index}", "error", turn.error, "Retry")


def _offer_again(turn: Turn, key: str, kind: str, text: str, label: str) -> None:
    st.html(citations.notice_html(kind, text))
    st.button(label, key=key, icon=":material/refresh:", on_click=turn.ask_again)


def _waiting(text: str) -> str:
    return (
        f'<div class="p-waiting" role="status">{citations.escape(text)}<i></i><i></i><i></i></div>'
    )


def _passages(count: int) -> str:
    return "1 passage" if count == 1 else f"{count} passages"
