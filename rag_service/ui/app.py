"""The page. Served by `launch.command`; the service's address is its argument, and, where people
sign in, those of Supabase Auth follow."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

from rag_service.ui import (
    account,
    chat,
    citations,
    clicks,
    conversation,
    passage,
    service,
    sidebar,
    welcome,
)
from rag_service.ui.identity import SupabaseAuth

DEFAULT_API_URL = "http://127.0.0.1:8000"
# The service's own limit on a question.
MAX_QUESTION = 8_000
# Drawn here: an emoji or a named icon would be fetched from elsewhere.
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    '<rect width="32" height="32" rx="8" fill="#3b4cc0"/><path d="M11 8h6.5a5.5 5.5 0 0 1 0 11H14v6'
    'h-3zm3 3v5h3.3a2.5 2.5 0 0 0 0-5z" fill="#fff"/><circle cx="23" cy="24" r="2" fill="#ffd45e"/>'
    "</svg>"
)


def main(api_url: str, auth: SupabaseAuth | None) -> None:
    st.set_page_config(page_title="Promptly", page_icon=ICON)
    st.html(Path(__file__).with_name("style.css"))
    client = account.client(service.connect(api_url), auth)
    overview, problem = None, ""
    try:
        overview = service.overview(client)
    except service.ServiceError as error:
        problem = str(error)
    scope = sidebar.show(client, overview or service.Overview((), ()), auth)
    placeholder = "Ask a question" if scope else "Mend the filter in the sidebar first"
    question = st.chat_input(
        placeholder, max_chars=MAX_QUESTION, disabled=scope is None, submit_mode="stop", key="ask"
    )
    if question and scope:
        conversation.ask(question, scope)
    clicked = clicks.listen()
    if conversation.turns():
        if chat.show(client, may_say=auth is None or account.session() is not None):
            service.forget_conversations()
            st.rerun()  # for the list in the sidebar
    elif overview:
        welcome.show(overview, scope, auth)
    else:
        st.html(citations.notice_html("error", problem))
        st.button("Retry", icon=":material/refresh:", key="retry")
    if clicked:
        passage.open_clicked(client, clicked)


main(
    sys.argv[1] if len(sys.argv) > 1 else DEFAULT_API_URL,
    SupabaseAuth(sys.argv[2], sys.argv[3]) if len(sys.argv) > 3 else None,
)
