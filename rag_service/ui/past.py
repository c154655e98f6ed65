"""Past conversations, in the sidebar: open one and go on, or delete it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from model_pipeline.shown import shown
from rag_service.client import Client
from rag_service.ui import citations, conversation, service, welcome
from rag_service.ui.conversation import Scope, Turn

LISTED = 20
TITLE = 60


def show(client: Client) -> None:
    """Nothing, where there are none yet."""
    try:
        found, more = service.conversations(client)
    except service.ServiceError:
        return  # the page itself tells that the service is away
    if not found:
        return
    current = conversation.current()
    with st.expander("Past conversations", icon=":material/history:", key="past-conversations"):
        for one in found[:LISTED]:
            _row(client, one, is_open=one["conversation_id"] == current)
        if more or len(found) > LISTED:
            st.caption(f"The last {LISTED} are shown.")


def _row(client: Client, about: dict[str, Any], *, is_open: bool) -> None:
    key, title = about["conversation_id"], label(about["title"])
    with st.container(horizontal=True, vertical_alignment="center", gap=None, key=f"past-{key}"):
        kind: Any = "secondary" if is_open else "tertiary"
        if st.button(title, key=f"open-{key}", type=kind, width="stretch", disabled=is_open):
            try:
                reopen(client, key)
            except service.ServiceError as error:
                st.html(citations.notice_html("error", str(error)))
            else:
                st.rerun()
        with st.popover(
            f"Delete {title}", icon=":material/delete:", type="tertiary", key=f"ask-past-{key}"
        ):
            question = "Delete this conversation, with what you said of its answers?"
            st.html(citations.notice_html("calm", question, about["title"]))
            if st.button("Yes, delete it", key=f"delete-past-{key}", type="primary"):
                try:
                    service.delete_conversation(client, key)
                except service.ServiceError as error:
                    st.html(citations.notice_html("error", str(error)))
                else:
                    if is_open:
                        conversation.start_anew()
                    st.rerun()


def label(title: str) -> str:
    """A title as a widget's label, which Streamlit reads as Markdown."""
    line = " ".join(shown(title).split())
    return welcome.plain(line if len(line) <= TITLE else line[: TITLE - 1].rstrip() + "…")


def reopen(client: Client, conversation_id: str) -> None:
    """Show it, and go on with it. Raises ServiceError."""
    kept = service.conversation(client, conversation_id)
    conversation.reopen(conversation_id, [_turn(one) for one in kept])


def _turn(kept: dict[str, Any]) -> Turn:
    """As it was shown then; the passages that it did not cite are not kept, nor what no passage
    said."""
    feedback = {part: words for part, words in (kept["feedback"] or {}).items() if words}
    answer = {**kept, "passages": [], "unsupported": [], "fallback": None}
    return Turn(kept["question"], Scope(kept["collection"]), answer, feedback=feedback)
