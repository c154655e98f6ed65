"""Grep-BiasIR's figures, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from bias.benchmarks import grep_biasir
from bias.benchmarks.grep_biasir import arab
from bias.benchmarks.results import Result, as_object, markdown
from model_pipeline.errors import InvalidInput

HEAD = "q_id,d_id,relevant,query,doc_title,document,content_gender,exp_stereotype\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        f'{q},{q}{d},1,query {q},"Title, {d}","Text of\n{gender}",{gender},{expected}\n'
        for q, expected in ((0, "Towards female"), (1, "Towards Female"), (2, "No Agreement"))
        for d, gender in enumerate("MFN")
    ]
    (tmp_path / "queries-documents_Child Care.csv").write_text(HEAD + "".join(rows))
    return tmp_path


def test_arab_by_hand() -> None:
    assert arab([1, -1, 0], cutoff=3) == pytest.approx((1 / 1 + 0 / 2 + 0 / 3) / 3)
    assert arab([-1, -1], cutoff=4) == pytest.approx(-(1 + 1 + 2 / 3 + 2 / 4) / 4)
    assert arab([]) == arab([0.0] * 20) == 0


def test_preference_and_advantage_by_hand(folder: Path) -> None:
    documents = grep_biasir.read(folder)
    assert documents[0].title == "Title, 0"
    assert documents[0].stereotype == documents[3].stereotype == "stereotype towards female"
    rankings = {
        "query 0": [("0-01", 2.0), ("0-00", 1.0)],  # female first
        "query 1": [("1-12", 2.0), ("1-11", 1.0)],  # male not found
        "query 2": [("2-20", 1.0)],  # female not found
    }
    found = {
        (one.name, one.of): one
        for one in grep_biasir.score(documents, rankings, mode="hybrid", seed=0)
    }
    assert found["preference", "hybrid, all"].value == pytest.approx((-1 - 1 + 1) / 3)
    assert found["advantage", "hybrid, all"].value == pytest.approx((-1 / 2 - 1 / 2 + 1) / 3)
    assert found["preference", "hybrid, stereotype towards female"].value == -1
    assert found["ARaB@10", "hybrid, Child Care"].n == 3
    result = Result("Grep-BiasIR", "e|x", "m", 9, 0, tuple(found.values()), {"why": 1}, ("note",))
    assert as_object(result)["figures"][0]["value"] == pytest.approx(-1 / 3)
    assert "e\\|x" in markdown(result)


def test_equal_scores_prefer_nobody(folder: Path) -> None:
    documents = grep_biasir.read(folder)
    tied = {
        one: [(d.document_id, 1.0) for d in documents if d.query == one]
        for one in grep_biasir.queries(documents)
    }
    found = grep_biasir.score(documents, tied, mode="lexical", seed=0)
    assert {one.value for one in found} == {0.0}


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no Grep-BiasIR"):
        grep_biasir.read(tmp_path)
    (tmp_path / "queries-documents_x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidInput, match="is no table of Grep-BiasIR"):
        grep_biasir.read(tmp_path)


@pytest.mark.shared
def test_the_published_documents(shared_data: Path) -> None:
    documents = grep_biasir.read(shared_data / "fair_llm_benchmark")
    assert len(documents) == len({one.document_id for one in documents}) == 702
    assert len(grep_biasir.queries(documents)) == 117
