"""Signing in: Supabase's own Auth, the real service with row-level security, a real browser."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from playwright.sync_api import Browser, Page, expect
from streamlit.testing.v1 import AppTest

from rag_service.client import Client, ServiceError
from rag_service.ui.identity import ENDED, Session, SignInError, SupabaseAuth
from rag_service.ui.launch import APP
from tests.servers import supabase_lite
from tests.servers.supabase_lite import SupabaseServer

Serve = Callable[..., AbstractContextManager[str]]
ADA, BOB = "ada@example.org", "bob@example.org"
PASSWORD = "correct horse battery staple"
DIARY = "# Diary\n\nThe treasure is buried under the old oak.\n"


@pytest.fixture
def supabase(database: str, tmp_path: Path) -> Iterator[SupabaseServer]:
    """Supabase's HTTP API over a database of its own, with two people signed up."""
    if reason := supabase_lite.missing():
        pytest.skip(f"{reason}: sh tests/servers/install-node.sh supabase")
    folder = tmp_path / "lite"
    folder.mkdir()
    with supabase_lite.running(database, folder) as server:
        for email in (ADA, BOB):
            httpx.post(
                f"{server.url}/auth/v1/signup",
                json={"email": email, "password": f"{PASSWORD} of {email}"},
                headers={"apikey": server.anon_key},
            ).raise_for_status()
        yield server


@pytest.fixture
def auth(supabase: SupabaseServer) -> SupabaseAuth:
    return SupabaseAuth(supabase.url, supabase.anon_key)


def signed_in(auth: SupabaseAuth, email: str) -> Session:
    return auth.sign_in(email, f"{PASSWORD} of {email}")


def test_a_session_goes_on_and_ends(auth: SupabaseAuth) -> None:
    session = signed_in(auth, ADA)
    assert session.email == ADA and 3500 < session.left_s <= 3600
    assert session.access_token not in repr(session)
    first = session.refresh_token
    auth.refresh(session)
    assert session.refresh_token != first
    auth.sign_out(session)
    with pytest.raises(SignInError) as caught:
        auth.refresh(session)
    assert (str(caught.value), caught.value.final) == (ENDED, True)


@pytest.mark.parametrize("email", [ADA, "nobody@example.org"])
def test_wrong_is_wrong_whoever_it_is(auth: SupabaseAuth, email: str) -> None:
    with pytest.raises(SignInError, match=r"^The email or the password is wrong\.$"):
        auth.sign_in(email, "wrong")


def test_an_auth_server_that_is_away(unused_address: str) -> None:
    with pytest.raises(SignInError, match="does not answer") as caught:
        SupabaseAuth(unused_address, "key").sign_in(ADA, "x")
    assert not caught.value.final


def test_something_else_at_its_address(api: str) -> None:
    with pytest.raises(SignInError, match="refused"):
        SupabaseAuth(api, "key").sign_in(ADA, "x")


def test_the_page_renews_a_token_before_it_ends(
    api: str, auth: SupabaseAuth, supabase: SupabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(APP), api, supabase.url, supabase.anon_key])
    page = AppTest.from_file(APP, default_timeout=20)
    session = signed_in(auth, ADA)
    first, session.ends_at = session.refresh_token, session.ends_at - 3550
    page.session_state["account"] = session
    page.run()
    assert not page.exception
    assert session.refresh_token != first and session.left_s > 3500
    page.run()
    assert session.left_s > 3500 and page.session_state["account"] is session

    page.chat_input[0].set_value("with").run()
    auth.sign_out(session)
    session.ends_at -= 3600
    page.run()
    html = "\n".join(one.proto.body for one in page.get("html"))
    assert ENDED in html
    # Of what was asked while signed in nothing is left.
    assert "account" not in page.session_state and "with statement" not in html
    assert [one.label for one in page.button if one.label == "Sign in"]


@pytest.fixture
def address(
    supabase: SupabaseServer, tmp_path: Path, embedder_cache: Path, promptly_api: Serve, ui: Serve
) -> Iterator[tuple[str, str, Path]]:
    """The page, the API, and all that the page's server printed."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "cache").symlink_to(embedder_cache)
    printed = tmp_path / "ui.log"
    given = {"SUPABASE_JWT_SECRET": supabase.jwt_secret}
    with (
        promptly_api(supabase.conninfo, home, **given) as api,
        printed.open("wb") as log,
        ui(api, sign_in=(supabase.url, supabase.anon_key), stdout=log, stderr=log) as found,
    ):
        yield found, api, printed


def sign_in(page: Page, email: str, password: str) -> None:
    page.get_by_role("button", name="Sign in").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Email").fill(email)
    dialog.get_by_label("Password", exact=True).fill(password)
    dialog.get_by_role("button", name="Sign in").click()


def ask(page: Page, question: str) -> Any:
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill(question)
    box.press("Enter")
    expect(page.locator(".p-timings")).to_be_visible(timeout=30_000)
    return page.locator(".stMain")


def share(ada: Client, bob: Client) -> None:
    """One collection, by the client's own methods, from its making to its end."""
    made = ada.create_collection("plans")
    which = made.collection_id
    assert (made.visibility, made.role) == ("private", "owner")
    assert ada.change_collection(which, name="our plans").name == "our plans"
    ada.add_text("We sail at dawn.", source="plan.md", collection="our plans")
    subject = jwt.decode(str(bob.token), options={"verify_signature": False})["sub"]
    with bob:
        assert bob.collections().details == []
        assert ada.set_member(which, subject, "reader").role == "reader"
        assert [one.role for one in ada.members(which).members] == ["owner", "reader"]
        assert [one.name for one in bob.collections().details] == ["our plans"]
        assert "dawn" in bob.search("When do we sail?").passages[0].content
        with pytest.raises(ServiceError, match="Only an owner"):
            bob.delete_collection(which)
        assert bob.with_token(None).collections().details == []
        ada.remove_member(which, subject)
        assert bob.search("When do we sail?").passages == []
    ada.delete_collection(which)
    assert "our plans" not in ada.collections().collections


@pytest.mark.browser
def test_everybody_sees_their_own_in_the_browser(
    address: tuple[str, str, Path], auth: SupabaseAuth, chromium: Browser
) -> None:
    url, api, printed = address
    ada = Client(api, token=signed_in(auth, ADA).access_token)
    ada.add_text("The key lies in the blue vase.", source="key.md", collection="secrets")

    page = chromium.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(url)
    expect(page.get_by_text("Nothing here is public.")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("Add documents")).to_have_count(0)
    sign_in(page, ADA, "wrong")
    expect(page.get_by_text("The email or the password is wrong.")).to_be_visible()
    expect(page.get_by_role("dialog").get_by_label("Email")).to_have_value(ADA)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    sign_in(page, ADA, f"{PASSWORD} of {ADA}")
    expect(page.get_by_text(f"Signed in as {ADA}")).to_be_visible()
    expect(page.get_by_text("1 document in the collection secrets")).to_be_visible()

    other = chromium.new_context().new_page()
    other.goto(url)
    sign_in(other, BOB, f"{PASSWORD} of {BOB}")
    expect(other.get_by_text("Nothing is here yet.")).to_be_visible(timeout=30_000)

    page.get_by_text("Add documents", exact=True).click()
    page.locator("input[type=file]").set_input_files(
        [{"name": "diary.md", "mimeType": "text/markdown", "buffer": DIARY.encode()}]
    )
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("2 documents in 2 collections")).to_be_visible(timeout=30_000)
    expect(ask(page, "Where is the treasure?")).to_contain_text("under the old oak")

    # By the same server, right after: what it keeps for one is not for another.
    expect(ask(other, "Where is the treasure?")).not_to_contain_text("oak")
    other.get_by_role("button", name="New conversation").click()
    expect(other.get_by_text("Nothing is here yet.")).to_be_visible()

    share(ada, Client(api, token=signed_in(auth, BOB).access_token))
    ids = {one.name: one.collection_id for one in ada.collections().details}
    ada.change_collection(ids["default"], visibility="public")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("This is what is public.")).to_be_visible()
    expect(page.get_by_text("1 document in the collection default")).to_be_visible()
    assert "secrets" not in page.content() and "oak" not in page.content()
    expect(ask(page, "Where is the key?")).not_to_contain_text("vase")
    expect(ask(page, "Where is the treasure?")).to_contain_text("under the old oak")
    page.get_by_role("button", name="Documents", exact=True).click()
    drawer = page.get_by_role("dialog")
    expect(drawer.locator(".p-document")).to_have_count(1)
    expect(drawer.get_by_role("button", name="Delete")).to_have_count(0)

    ada.close()
    for one in (page, other):
        one.context.close()
    log = printed.read_text()
    assert PASSWORD not in log and "eyJ" not in log, log
