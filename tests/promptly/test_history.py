"""Whose history an answer goes to: each person's and key's own, and nobody's for the anonymous."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.promptly.people import PEOPLE, Service

BODY = {"question": "What is the kettle?", "collection": "public"}


def test_each_has_their_own_and_a_forged_id_opens_nothing(service: Service) -> None:
    service.reset()

    def ask(who: str, **more: Any) -> dict[str, Any]:
        reply = service.ask(who, "POST", "/v1/answers", json={**BODY, **more})
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    def listed(who: str) -> dict[str, str]:
        found = service.ask(who, "GET", "/v1/history").json()["conversations"]
        return {one["conversation_id"]: one["title"] for one in found}

    first = ask("reader")
    theirs = first["conversation_id"]
    # The same id as another: a conversation of one's own, and nothing of the reader's in it.
    forged = ask("editor", conversation_id=theirs, question="What is mine?")
    assert forged["conversation_id"] == theirs
    assert listed("reader") == {theirs: BODY["question"]}
    assert listed("editor") == {theirs: "What is mine?"}
    for who in ("reader", "editor"):
        shown = service.ask(who, "GET", f"/v1/history/{theirs}").json()
        assert len(shown["answers"]) == 1
    said = {"answer_id": first["answer_id"], "rating": "down"}
    assert service.ask("editor", "POST", "/v1/feedback", json=said).status_code == 404
    assert service.ask("editor", "DELETE", f"/v1/history/{theirs}").status_code == 204
    assert listed("editor") == {} and theirs in listed("reader")
    assert service.ask("reader", "POST", "/v1/feedback", json=said).status_code == 200

    machine = ask("key")
    assert list(listed("key")) == [machine["conversation_id"]]

    anonymous = ask("anonymous", conversation_id=theirs)
    assert anonymous["conversation_id"] == theirs
    refused = service.ask(
        "anonymous", "POST", "/v1/feedback", json={**said, "answer_id": anonymous["answer_id"]}
    )
    assert refused.status_code == 401 and "sign in" in refused.json()["detail"]
    with psycopg.connect(service.database) as connection:
        rows = connection.execute(
            "select user_id, count(*) from answers where question <> all(%s) group by 1",
            ([f"What is {word}?" for word in ("xanadu", "ytterbium", "zanzibar")],),
        ).fetchall()
    assert dict(rows) == {PEOPLE["reader"]: 1, PEOPLE["key"]: 1}
    service.reset()
