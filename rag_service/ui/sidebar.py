"""The sidebar: where to look, what to add, what is there."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from rag_service.client import Client
from rag_service.ui import (
    account,
    citations,
    conversation,
    documents,
    past,
    service,
    sources,
    updates,
    upload,
)
from rag_service.ui.conversation import Scope
from rag_service.ui.filters import OPERATORS, FilterError, Row, from_json, from_rows, told
from rag_service.ui.identity import SupabaseAuth

EVERYWHERE = "All collections"
MAX_ROWS = 8


def show(
    client: Client, overview: service.Overview, auth: SupabaseAuth | None = None
) -> Scope | None:
    """The scope to ask in, or None while the filter is not one."""
    with st.sidebar:
        st.html('<div class="p-brand">Promptly</div>')
        st.button(
            "New conversation",
            icon=":material/edit_square:",
            on_click=conversation.start_anew,
            width="stretch",
        )
        if auth is None or account.session():
            past.show(client)
        collection = st.selectbox(
            "Search in",
            [EVERYWHERE, *overview.collections],
            key="collection",
            help="A collection is a named set of documents.",
        )
        k = st.slider(
            "Passages to read", 1, 20, 5, help="How many passages an answer is drawn from."
        )
        filter_error, filter = "", None
        with st.expander("Filter by metadata", icon=":material/filter_alt:"):
            try:
                filter = _filter(overview.metadata_keys)
            except FilterError as error:
                filter_error = str(error)
                st.html(citations.notice_html("error", filter_error))
        if filter:
            st.html(f'<div class="p-active">Filter on: {citations.escape(told(filter))}</div>')
        if auth is None or account.session():
            with st.expander("Add documents", icon=":material/upload_file:"):
                upload.show(client, overview)
        if st.button(
            "Documents",
            icon=":material/folder_open:",
            width="stretch",
            disabled=not overview.documents,
        ):
            chosen = None if collection == EVERYWHERE else collection
            documents.browse(client, chosen, overview.writable)
        if st.button("Sources", icon=":material/sync:", width="stretch"):
            sources.browse(client, overview.collections)
        updates.show(client, empty=not overview.documents)
        if auth is not None:
            account.show(auth)
    if filter_error:
        return None
    return Scope(None if collection == EVERYWHERE else collection, filter, k)


def _filter(keys: Sequence[str]) -> dict[str, object] | None:
    if st.toggle("Write it as JSON", key="filter-json"):
        return from_json(
            st.text_area(
                "Filter (JSON)",
                key="filter-text",
                placeholder='{"lang": "en", "year": {"gte": 2020}}',
                help="Operators: gt, gte, lt, lte, in, contains; combine with all, any, not.",
            )
        )
    return from_rows(_rows(keys))


def _rows(keys: Sequence[str]) -> list[Row]:
    """The rows as they stand, each with a field of its own keys so that one can go."""
    numbers: list[int] = st.session_state.setdefault("filter-rows", [0])
    rows = []
    for number in numbers:
        with st.container(border=True, key=f"filter-row-{number}"):
            key = st.selectbox(
                "Field",
                keys,
                index=None,
                placeholder="Field",
                accept_new_options=True,
                key=f"filter-key-{number}",
                label_visibility="collapsed",
            )
            operator = st.selectbox(
                "Condition",
                list(OPERATORS),
                key=f"filter-operator-{number}",
                label_visibility="collapsed",
            )
            value = st.text_input(
                "Value",
                key=f"filter-value-{number}",
                placeholder="a, b, c" if operator == "is one of" else "Value",
                label_visibility="collapsed",
            )
            if len(numbers) > 1:
                st.button(
                    "Remove",
                    key=f"filter-remove-{number}",
                    type="tertiary",
                    icon=":material/close:",
                    on_click=numbers.remove,
                    args=(number,),
                )
        rows.append(Row(key or "", operator, value))
    st.button(
        "Add a condition",
        icon=":material/add:",
        type="tertiary",
        disabled=len(numbers) >= MAX_ROWS,
        on_click=lambda: numbers.append(max(numbers) + 1),
    )
    return rows
