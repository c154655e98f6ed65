"""Adding files from the browser, with what became of each."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from rag_service.client import Client
from rag_service.ui import citations, service

DEFAULT_COLLECTION = "default"


def show(client: Client, overview: service.Overview) -> None:
    with st.form("upload", clear_on_submit=True, border=False):
        files = st.file_uploader(
            "Files",
            accept_multiple_files=True,
            help="Markdown, HTML, PDF, Word, text, reStructuredText, CSV and JSONL.",
        )
        names = list(dict.fromkeys([*overview.writable, DEFAULT_COLLECTION]))
        collection = st.selectbox(
            "Into collection",
            names,
            index=names.index(DEFAULT_COLLECTION),
            accept_new_options=True,
            help="Pick one, or type a new name.",
        )
        submitted = st.form_submit_button("Add", icon=":material/add:", width="stretch")
    if submitted and not files:
        st.html(citations.notice_html("calm", "Choose one or more files first."))
    elif submitted:
        st.session_state["uploaded"] = _send(client, files, collection or DEFAULT_COLLECTION)
        service.forget()
        st.rerun()
    for good, name, outcome in st.session_state.get("uploaded", ()):
        st.html(citations.notice_html("good" if good else "error", name, outcome))


def _send(
    client: Client, files: Sequence[service.File], collection: str
) -> list[tuple[bool, str, str]]:
    """One file after the other, so that a broken one stops none: whether it went in, and how."""
    outcomes = []
    bar = st.progress(0.0)
    for number, file in enumerate(files):
        bar.progress(number / len(files), f"{number + 1} of {len(files)}")
        try:
            outcomes.append((True, file.name, service.upload(client, file, collection)))
        except service.ServiceError as error:
            outcomes.append((False, file.name, str(error)))
    bar.empty()
    return outcomes
