"""Who is signed in, for as long as the browser's session: nothing is kept beyond it."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from rag_service.client import Client
from rag_service.ui import citations
from rag_service.ui.identity import EARLY_S, ENDED, Session, SignInError, SupabaseAuth


def session() -> Session | None:
    found: Session | None = st.session_state.get("account")
    return found


def client(anybody: Client, auth: SupabaseAuth | None) -> Client:
    """The service as whoever is signed in, with a token that is not about to end."""
    found = session()
    if auth is None or found is None:
        return anybody
    if found.left_s < EARLY_S:
        try:
            auth.refresh(found)
        except SignInError as error:
            if error.final or found.left_s <= 0:
                _forget(ENDED)
                return anybody
    return anybody.with_token(found.access_token)


def show(auth: SupabaseAuth) -> None:
    """At the foot of the sidebar."""
    found = session()
    with st.container(key="account"):
        if found is None:
            sign_in_button(auth, "sign-in", main=False)
            return
        who = citations.escape(found.email)
        st.html(f'<div class="p-account"><span>Signed in as</span> <b>{who}</b></div>')
        st.button(
            "Sign out",
            icon=":material/logout:",
            width="stretch",
            on_click=_sign_out,
            args=(auth, found),
        )


def sign_in_button(auth: SupabaseAuth, key: str, *, main: bool = True) -> None:
    kind: Literal["primary", "secondary"] = "primary" if main else "secondary"
    if st.button("Sign in", icon=":material/login:", type=kind, width="stretch", key=key):
        _sign_in(auth)


def ended() -> str:
    """Why nobody is signed in any more, where somebody was."""
    return str(st.session_state.get("account-ended", ""))


@st.dialog("Sign in", icon=":material/login:")
def _sign_in(auth: SupabaseAuth) -> None:
    if session():
        st.rerun()
    with st.form("sign-in-form", border=False):
        st.text_input("Email", key="sign-in-email", autocomplete="username")
        st.text_input(
            "Password", key="sign-in-password", type="password", autocomplete="current-password"
        )
        st.form_submit_button(
            "Sign in", type="primary", width="stretch", on_click=_enter, args=(auth,)
        )
    if problem := st.session_state.pop("sign-in-problem", ""):
        st.html(citations.notice_html("error", problem))


def _enter(auth: SupabaseAuth) -> None:
    state = st.session_state
    email, password = state["sign-in-email"].strip(), state["sign-in-password"]
    state["sign-in-password"] = ""  # right or wrong, it stays nowhere
    if not email or not password:
        state["sign-in-problem"] = "Give your email and your password."
        return
    try:
        found = auth.sign_in(email, password)
    except SignInError as error:
        state["sign-in-problem"] = str(error)
        return
    _forget()
    state["account"] = found


def _sign_out(auth: SupabaseAuth, found: Session) -> None:
    auth.sign_out(found)
    _forget()


def _forget(why: str = "") -> None:
    """Of one person nothing stays for the next, the conversation least of all."""
    st.session_state.clear()
    if why:
        st.session_state["account-ended"] = why
