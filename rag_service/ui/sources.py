"""Where documents come from by themselves, in a drawer: what there is, and a form for web pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import streamlit as st

from rag_service.client import Client
from rag_service.ui import citations, service, welcome
from rag_service.ui.upload import DEFAULT_COLLECTION

LOOK_S = 3
SHOWN = 50
SHOWN_REASONS = 20
EVERY = {"Every hour": 3_600, "Every day": 86_400, "Every week": 604_800, "Only when asked": None}


@st.dialog("Sources", width="medium", position="right", icon=":material/sync:")
def browse(client: Client, collections: tuple[str, ...]) -> None:
    _listed(client)
    st.subheader("Add web pages", anchor=False)
    _form(client, collections)


@st.fragment(run_every=LOOK_S)
def _listed(client: Client) -> None:
    try:
        found = service.sources(client)
    except service.ServiceError as error:
        st.html(citations.notice_html("error", str(error)))
        return
    st.caption(
        "What is listed here is read again by itself, and your documents follow."
        if found
        else "Nothing yet. Your documents will follow what you add here."
    )
    for source in found[:SHOWN]:
        _row(client, source)
    if len(found) > SHOWN:
        st.caption(f"{len(found) - SHOWN:,} more: `promptly sources list` shows all.")


def _row(client: Client, source: dict[str, Any]) -> None:
    key, label = source["source_id"], welcome.plain(source["name"])
    with st.container(horizontal=True, vertical_alignment="center", key=f"source-{key}"):
        st.html(source_html(source))
        if st.button(
            f"Refresh {label}",
            key=f"ask-refresh-{key}",
            icon=":material/refresh:",
            disabled=source["state"] in ("waiting", "running"),
        ):
            _do(lambda: service.refresh(client, key), "fragment")
        with st.popover(f"Remove {label}", icon=":material/delete:", key=f"ask-source-{key}"):
            question = "Remove this source and the documents it brought?"
            st.html(citations.notice_html("calm", question, source["name"]))
            if st.button("Yes, remove it", key=f"remove-{key}", type="primary"):
                _do(lambda: service.remove_source(client, key), "fragment")


def source_html(source: dict[str, Any]) -> str:
    about = f"{source['collection']} · {standing(source)}"
    return (
        f'<div class="p-document" dir="auto" title="{citations.escape(source["name"])}">'
        f"<span>{citations.escape(short(source['name']))}</span>"
        f"<small>{citations.escape(about)}</small>{_failures(source)}</div>"
    )


def _failures(source: dict[str, Any]) -> str:
    """Why some of its documents were not read, folded up."""
    result = source["last_result"] or {}
    reasons = [citations.escape(one["reason"]) for one in result.get("failures", ())]
    if not reasons:
        return ""
    items = "".join(f"<li>{reason}</li>" for reason in reasons[:SHOWN_REASONS])
    return f"<details><summary>{result['failed']:,} failed</summary><ul>{items}</ul></details>"


def standing(source: dict[str, Any]) -> str:
    """How it stands: "refreshed 21 Nov 11:40 UTC"."""
    found = (source["progress"] or {}).get("found", 0)
    match source["state"]:
        case "running":
            return f"refreshing, {found:,} so far" if found else "refreshing"
        case "dead":
            return f"given up: {source['reason']}"
        case "waiting":
            return f"tried again soon: {source['reason']}" if source["reason"] else "waiting"
    if source["refreshed_at"] is None:
        return "not refreshed yet"
    return f"refreshed {datetime.fromisoformat(source['refreshed_at']):%d %b %H:%M} UTC"


def short(name: str) -> str:
    """Without what every address begins with."""
    return name.removeprefix("https://").removeprefix("http://")


def _form(client: Client, collections: tuple[str, ...]) -> None:
    with st.form("add-source", border=False):
        addresses = st.text_area(
            "Addresses",
            height=110,
            placeholder="https://example.org/sitemap.xml",
            help="Pages, one a line; or one sitemap (its name ends in .xml) for all its pages.",
            key="source-addresses",
        )
        left, right = st.columns(2)
        names = list(dict.fromkeys([*collections, DEFAULT_COLLECTION]))
        collection = left.selectbox(
            "Into collection",
            names,
            index=names.index(DEFAULT_COLLECTION),
            accept_new_options=True,
            key="source-collection",
        )
        every = right.selectbox("Read again", list(EVERY), index=1, key="source-every")
        submitted = st.form_submit_button("Add pages", icon=":material/add:", width="stretch")
    if submitted and not addresses.split():
        st.html(citations.notice_html("calm", "Write the address of a page or sitemap first."))
    elif submitted:
        settings, into = web_settings(addresses), collection or DEFAULT_COLLECTION
        _do(lambda: service.add_source(client, settings, into, EVERY[every]), "app")


def web_settings(addresses: str) -> dict[str, Any]:
    """One address of an XML file is a sitemap's; all else are pages."""
    urls = [url if "://" in url else f"https://{url}" for url in addresses.split()]
    path = urls[0].partition("?")[0].lower()
    if len(urls) == 1 and path.endswith((".xml", ".xml.gz")):
        return {"sitemap": urls[0]}
    return {"urls": urls}


def _do(act: Callable[[], None], anew: Any) -> None:
    """What cannot be done is told in its place."""
    try:
        act()
    except service.ServiceError as error:
        st.html(citations.notice_html("error", str(error)))
    else:
        st.rerun(scope=anew)
