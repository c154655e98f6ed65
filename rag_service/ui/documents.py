"""The documents that are there, in a drawer: find one, delete one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import streamlit as st

from rag_service.client import Client
from rag_service.ui import citations, service, welcome

PAGE = 12


@st.dialog("Documents", width="medium", position="right", icon=":material/folder_open:")
def browse(client: Client, collection: str | None, writable: Collection[str]) -> None:
    try:
        found, more = service.documents(client, collection)
    except service.ServiceError as error:
        st.html(citations.notice_html("error", str(error)))
        return
    wanted = st.text_input("Find by title or source", key="documents-wanted").casefold()
    rows = [one for one in found if wanted in f"{one['title']} {one['source']}".casefold()]
    counted = f"{len(rows):,} of {len(found):,}" if wanted else f"{len(found):,}"
    st.caption(f"{counted} documents{', the first that were added' if more else ''}")
    pages = max(1, -(-len(rows) // PAGE))
    page = st.session_state.get("documents-page", 1) if pages > 1 else 1
    page = min(page, pages)
    for one in rows[(page - 1) * PAGE : page * PAGE]:
        _row(client, one, changeable=one["collection"] in writable)
    if pages > 1:
        st.pagination(pages, key="documents-page")


def _row(client: Client, document: dict[str, Any], *, changeable: bool) -> None:
    key = document["document_id"]
    with st.container(horizontal=True, vertical_alignment="center", key=f"document-{key}"):
        st.html(citations.document_html(document))
        if not changeable:
            return
        with st.popover(
            f"Delete {welcome.plain(citations.name(document))}",
            icon=":material/delete:",
            key=f"ask-{key}",
        ):
            st.html(citations.notice_html("calm", "Delete this document?", document["title"]))
            if st.button("Yes, delete it", key=f"delete-{key}", type="primary"):
                try:
                    service.delete(client, key)
                except service.ServiceError as error:
                    st.html(citations.notice_html("error", str(error)))
                else:
                    st.rerun(scope="fragment")
