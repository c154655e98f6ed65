"""What is under way: documents to be indexed, sources to be refreshed, and what was given up.

It looks by itself every few seconds, in a fragment of its own: nothing else on the page runs anew.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from rag_service.client import Client
from rag_service.ui import citations, service
from rag_service.ui.service import Updates
from rag_service.ui.sources import LOOK_S, short

SHOWN_REFRESHES = 3
SHOWN_FAILURES = 3


@st.fragment(run_every=LOOK_S)
def show(client: Client, *, empty: bool) -> None:
    """A line or two while something is under way, and what was given up with its reason; where
    there is neither, nothing. `empty`: the page says that there are no documents yet."""
    try:
        updates = service.updates(client)
    except service.ServiceError:
        return  # the page itself tells that the service is away
    html = status_html(updates)
    if html:
        st.html(html)
    for job in updates.dead[:SHOWN_FAILURES]:
        _given_up(client, job)
    more = updates.dead_count - min(len(updates.dead), SHOWN_FAILURES)
    if more > 0:
        st.caption(f"{more:,} more could not be updated.")
    was_busy = st.session_state.get("updates-busy", False)
    st.session_state["updates-busy"] = updates.busy
    if was_busy and not updates.busy:
        service.forget()
        if empty:
            st.rerun()


def _given_up(client: Client, job: dict[str, Any]) -> None:
    name, reason = short(job["name"]), job["reason"] or ""
    with st.container(key=f"given-up-{job['job_id']}", gap=None):
        said = reason if name in reason else f"{name}: {reason}"
        st.html(citations.notice_html("error", "Not updated", said))
        if st.button(
            "Try again",
            key=f"retry-job-{job['job_id']}",
            icon=":material/refresh:",
            type="tertiary",
        ):
            try:
                service.retry(client, job["job_id"])
            except service.ServiceError as error:
                st.html(citations.notice_html("error", str(error)))
            else:
                st.rerun(scope="fragment")


def status_html(updates: Updates) -> str:
    documents = documents_line(updates)
    items = [f"<li>{citations.escape(documents)}</li>"] if documents else []
    items += [_refresh(one) for one in updates.refreshing[:SHOWN_REFRESHES]]
    more = len(updates.refreshing) - SHOWN_REFRESHES
    if more > 0:
        items.append(f"<li>{more:,} more sources to be refreshed</li>")
    if not items:
        return ""
    return f'<ul class="p-updates" aria-label="Updates under way">{"".join(items)}</ul>'


def documents_line(updates: Updates) -> str:
    """ "3 documents waiting, 1 being indexed" """
    parts = [f"{_count(updates.waiting)} waiting"] if updates.waiting else []
    if updates.running:
        count = f"{updates.running:,}" if parts else _count(updates.running)
        parts.append(f"{count} being indexed")
    return ", ".join(parts)


def _count(documents: int) -> str:
    return "1 document" if documents == 1 else f"{documents:,} documents"


def _refresh(source: dict[str, Any]) -> str:
    found = (source["progress"] or {}).get("found", 0)
    if source["state"] == "running":
        said = f"refreshing, {_count(found)} so far" if found else "refreshing"
    else:
        said = f"tried again soon: {source['reason']}" if source["reason"] else "waiting"
    name = citations.escape(source["name"])
    return (
        f'<li><span dir="auto" title="{name}">{citations.escape(short(source["name"]))}</span>'
        f"<small>{citations.escape(said)}</small></li>"
    )
