from __future__ import annotations

from uuid import uuid4

import pytest
from starlette.testclient import TestClient

NOWHERE = uuid4()


@pytest.fixture
def answer_id(api: TestClient) -> str:
    found: str = api.post("/v1/answers", json={"question": "What is a default?"}).json()[
        "answer_id"
    ]
    return found


def test_a_verdict_is_shown_confirmed_and_contested(api: TestClient, answer_id: str) -> None:
    shown = api.get(f"/v1/answers/{answer_id}/verdicts").json()
    [verdict] = shown["verdicts"]
    assert (shown["answer_id"], verdict["level"], verdict["reviews"]) == (answer_id, 4, [])
    address = f"/v1/answers/{answer_id}/reviews"
    confirmed = api.post(address, json={})
    assert confirmed.status_code == 201
    assert (confirmed.json()["level"], confirmed.json()["confirms"]) == (4, True)
    contested = api.post(address, json={"level": 2, "comment": "It sneers."}).json()
    assert (contested["level"], contested["judged"], contested["confirms"]) == (2, 4, False)
    [verdict] = api.get(f"/v1/answers/{answer_id}/verdicts").json()["verdicts"]
    assert [one["comment"] for one in verdict["reviews"]] == [None, "It sneers."]
    assert verdict["reviews"][1].keys() == contested.keys() - {"timings_ms"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"level": 0}, "level"),
        ({"level": 6}, "level"),
        ({"level": 2.5}, "level"),
        ({"level": True}, "level"),
        ({"comment": ""}, "comment"),
        ({"comment": "x" * 10_001}, "comment"),
        ({"comment": "a\0b"}, "comment"),
        ({"signature": "s" * 1_001}, "signature"),
        ({"rating": "up"}, "rating"),
    ],
)
def test_bad_reviews_are_refused_by_their_field(
    api: TestClient, answer_id: str, body: dict[str, object], field: str
) -> None:
    reply = api.post(f"/v1/answers/{answer_id}/reviews", json=body)
    assert reply.status_code == 422
    assert field in reply.json()["detail"]


def test_what_is_not_there_is_not_reviewed(api: TestClient, answer_id: str) -> None:
    assert api.get(f"/v1/answers/{NOWHERE}/verdicts").status_code == 404
    assert api.post(f"/v1/answers/{NOWHERE}/reviews", json={}).status_code == 404
    other = {"signature": "another judge"}
    assert api.post(f"/v1/answers/{answer_id}/reviews", json=other).status_code == 404
    assert api.get("/v1/answers/none/verdicts").status_code == 422
