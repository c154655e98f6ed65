"""An opened citation: the passage with the quote marked, and its surroundings when asked for."""

from __future__ import annotations

from typing import Any

import streamlit as st

from rag_service.client import Client
from rag_service.ui import citations, clicks, conversation, service


def open_clicked(client: Client, clicked: tuple[int, str, int]) -> None:
    """Opens what a click names; a click on something that is gone does nothing."""
    index, kind, number = clicked
    turns = conversation.turns()
    answer = turns[index].answer if index < len(turns) else None
    if answer is None:
        return
    if kind == "p" and number < len(answer["passages"]):
        _nearest(client, answer["passages"][number])
    for citation in answer["citations"] if kind == "c" else ():
        if citation["n"] == number:
            chunk = citation["chunk_id"]
            passages = (one for one in answer["passages"] if one["chunk_id"] == chunk)
            _source(client, next(passages, None), citation)


@st.dialog("Source", width="medium", position="right", icon=":material/format_quote:")
def _source(client: Client, passage: dict[str, Any] | None, citation: dict[str, Any]) -> None:
    st.html(citations.where_html(citation))
    _body(client, passage, citation)


@st.dialog("Passage", width="medium", position="right", icon=":material/article:")
def _nearest(client: Client, passage: dict[str, Any]) -> None:
    st.html(citations.where_html(passage))
    _body(client, passage, None)


def _body(client: Client, passage: dict[str, Any] | None, citation: dict[str, Any] | None) -> None:
    found = passage or citation
    assert found is not None
    wide = passage is None or st.toggle(
        "Show the text around it", key=f"around-{found['chunk_id']}-{found.get('n', '')}"
    )
    before = after = ""
    content, start = (passage["content"], passage.get("start")) if passage else (found["quote"], 0)
    if wide:
        try:
            before, content, start, after = service.surroundings(client, found)
        except service.ServiceError as error:
            st.html(citations.notice_html("error", str(error)))
    span = (
        citations.quote_span(content, content_start=start, citation=citation) if citation else None
    )
    with st.container(border=True, key="passage"):
        st.html(citations.passage_html(content, span, before=before, after=after))
    if citation is not None and span is None:
        st.html(citations.notice_html("calm", "The quote:", str(citation["quote"])))
    clicks.scroll_to_quote(f"scroll-{found['chunk_id']}-{found.get('n', '')}-{wide}")
