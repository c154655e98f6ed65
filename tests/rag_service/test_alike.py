"""Questions that ask for the same by their words, and those that only look so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_service.alike import gist

SAME = [
    ("How do I reset my password?", "how can I reset the password"),
    ("What is Ray?", "what's ray"),
    ("Please show me examples of actor pools", "examples of actor pools"),
    ("What is the way to add a member?", "how to add a member?"),
    ("don’t tasks retry?", "Don't tasks retry"),
    ("the agent's state", "agent state"),
]
OTHER = [
    ("Does it work with Python 3.11?", "Does it work with Python 3.12?"),
    ("How many days until 2024-01-05?", "How many days until 2024-01-06?"),
    ("Is -5 allowed?", "Is 5 allowed?"),
    ("Can I return a tent?", "Can't I return a tent?"),
    ("Can members delete?", "Can members not delete?"),
    ("search with filters", "search without filters"),
    ("copy data from A to B", "copy data to A from B"),
    ("convert pandas to arrow", "convert arrow to pandas"),
    ("How do I enable logs?", "How do I disable logs?"),
    ("How do I stop a job?", "When do I stop a job?"),
    ("How many jobs run?", "How do jobs run?"),
    ("Why is it red?", "Who is red?"),
    ("Who leads support?", "Who leads IT support?"),
    ("Do you ship to us?", "Do you ship to the US?"),
    ("Is C better?", "Is C++ better?"),
    ("What does app.get do?", "What does app.put do?"),
    ("Should I use tls", "use tls"),
    ("ray可以支持容器多机吗", "ray多集群怎么提交任务"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_how_one_asks_makes_no_difference(one: str, other: str) -> None:
    assert gist(one) == gist(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_what_one_asks_for_does(one: str, other: str) -> None:
    assert gist(one) != gist(other)


@given(st.text(max_size=300))
def test_any_text_has_one(text: str) -> None:
    assert gist(text) == gist(f"  {text}\n")
