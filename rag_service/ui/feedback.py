"""What the reader says of an answer: a thumb, and a small form for the rest."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from rag_service.client import Client
from rag_service.ui import citations, service
from rag_service.ui.conversation import Turn

LONGEST = 10_000
THUMBS = ("down", "up")  # as Streamlit numbers them
STORED = "Thank you, this is kept."
WAITS = "Thank you. It is stored as soon as the database is back."


def show(client: Client, turn: Turn, index: int) -> None:
    """Under an answer that is there."""
    assert turn.answer is not None
    key = f"{index}-{turn.answer['answer_id']}"
    with st.container(
        horizontal=True, vertical_alignment="center", gap="small", key=f"say-{index}"
    ):
        rating = turn.feedback.get("rating")
        thumb = st.feedback(
            "thumbs", key=f"thumbs-{key}", default=THUMBS.index(rating) if rating else None
        )
        chosen = None if thumb is None else THUMBS[thumb]
        if chosen != rating:
            _say(client, turn, {"rating": chosen})
        if st.button("Say more", icon=":material/rate_review:", type="tertiary", key=f"more-{key}"):
            _say_more(client, turn, key)
        if turn.said_outcome and not turn.said_in_vain:
            said = citations.escape(turn.said_outcome)
            st.html(f'<div class="p-said" role="status">{said}</div>')
    if turn.said_in_vain:
        st.html(citations.notice_html("error", turn.said_outcome))


@st.dialog("About this answer", icon=":material/rate_review:")
def _say_more(client: Client, turn: Turn, key: str) -> None:
    with st.form(f"say-more-{key}", border=False):
        fields = {
            "comment": st.text_area(
                "What do you think of it?",
                turn.feedback.get("comment", ""),
                max_chars=LONGEST,
                height=68,
                key=f"comment-{key}",
            ),
            "corrected_answer": st.text_area(
                "What should it have said?",
                turn.feedback.get("corrected_answer", ""),
                max_chars=LONGEST,
                height=110,
                key=f"corrected-{key}",
            ),
            "harm": st.text_area(
                "Is anything harmful about it?",
                turn.feedback.get("harm", ""),
                max_chars=LONGEST,
                height=68,
                placeholder="Such as an insult, a danger, or what is private",
                key=f"harm-{key}",
            ),
        }
        sent = st.form_submit_button("Send", type="primary", width="stretch")
    if sent:
        said = {part: words.strip() or None for part, words in fields.items()}
        changed = {part: words for part, words in said.items() if words != turn.feedback.get(part)}
        if changed:
            _say(client, turn, changed)
        st.rerun()


def _say(client: Client, turn: Turn, said: Mapping[str, str | None]) -> None:
    assert turn.answer is not None
    try:
        stored = service.give_feedback(client, turn.answer["answer_id"], said)
    except service.ServiceError as error:
        turn.said_outcome, turn.said_in_vain = str(error), True
    else:
        turn.said_outcome, turn.said_in_vain = STORED if stored else WAITS, False
    # Also what was not taken: or the page would send it again with every run.
    stands = {**turn.feedback, **said}
    turn.feedback = {part: words for part, words in stands.items() if words is not None}
