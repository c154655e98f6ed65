"""The empty page: what this is, what is in it, and questions to begin with."""

from __future__ import annotations

import re

import streamlit as st

from rag_service.ui import account, citations, conversation
from rag_service.ui.conversation import Scope
from rag_service.ui.identity import SupabaseAuth
from rag_service.ui.service import Overview

# Each of the demo's questions, with a document that must be there for it.
DEMO_QUESTIONS = {
    "global": "What does the global statement do?",
    "function": "When are default parameter values evaluated?",
    "try": "What is the finally clause of a try statement for?",
    "naming": "How are names resolved in nested scopes?",
}
QUESTIONS = 4
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def show(overview: Overview, scope: Scope | None, auth: SupabaseAuth | None = None) -> None:
    st.html(
        '<div class="p-welcome"><h1>Ask your documents</h1>'
        "<p>Answers come from the documents alone, and each statement shows the quote that "
        f'it rests on.</p><p class="p-stock">{citations.escape(_stock(overview))}</p></div>'
    )
    if auth is not None and account.session() is None:
        _invite(overview, auth)
    elif not overview.documents:
        st.html(
            citations.notice_html(
                "calm", "Nothing is here yet.", "Open “Add documents” in the sidebar to begin."
            )
        )
    if overview.documents:
        _offer(overview, scope)


def _invite(overview: Overview, auth: SupabaseAuth) -> None:
    """For those who are not signed in: what they see is what is public."""
    if why := account.ended():
        st.html(citations.notice_html("warning", why))
    said, more = "Nothing here is public.", "Sign in to see your documents."
    if overview.documents:
        said, more = "This is what is public.", "Sign in to see your own documents too."
    left, right = st.columns([3, 1], vertical_alignment="center")
    with left:
        st.html(citations.notice_html("calm", said, more))
    with right:
        account.sign_in_button(auth, "sign-in-here")


def _offer(overview: Overview, scope: Scope | None) -> None:
    with st.container(key="examples"):
        left, right = st.columns(2)
        for number, question in enumerate(examples(overview)):
            (left, right)[number % 2].button(
                plain(question),
                key=f"example-{number}",
                width="stretch",
                disabled=scope is None,
                on_click=conversation.ask,
                args=(question, scope),
            )


def _stock(overview: Overview) -> str:
    count = len(overview.documents)
    documents = "1 document" if count == 1 else f"{count:,} documents"
    many = len(overview.collections)
    names = ", ".join(overview.collections[:4]) + (", …" if many > 4 else "")
    where = f"in the collection {names}" if many == 1 else f"in {many} collections: {names}"
    return f"{'More than ' if overview.more else ''}{documents} {where}" if many else "No documents"


def examples(overview: Overview) -> list[str]:
    """Four questions that these documents answer; for the reader's own, from their titles."""
    stems = {re.split(r"[/\\#:]", one["source"])[-1].split(".")[0] for one in overview.documents}
    if set(DEMO_QUESTIONS) <= stems:
        return list(DEMO_QUESTIONS.values())
    titles = dict.fromkeys(" ".join(one["title"].split()) for one in overview.documents)
    named = [title for title in titles if 3 <= len(title) <= 60]
    step = max(1, len(named) // QUESTIONS)
    return [f"What does “{title}” say?" for title in named[::step][:QUESTIONS]]


def plain(text: str) -> str:
    """`text` for a widget's label, which Streamlit reads as Markdown."""
    return _PUNCTUATION.sub(r"\\\1", text)
