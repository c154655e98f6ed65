"""Ratings of people, read and scored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.ratings import COSINE, ROUGE, read_ratings, scored

ROW = {"question": "Where is it?", "answer": "In Bonn.", "reference": "It is in Bonn.", "rating": 4}


def written(folder: Path, *rows: object) -> Path:
    path = folder / "ratings.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_reads_every_form_of_a_row(tmp_path: Path) -> None:
    several = {**ROW, "reference": ["a b", "c d"], "ratings": {"faithful": 1, "complete": 0.5}}
    passages = {
        "question": "Q?",
        "answer": "A.",
        "rating": 1,
        "passages": ["one", {"content": "two"}, {"text": "three"}],
    }
    first, second, third = read_ratings(written(tmp_path, ROW, "", several, passages))
    assert first.ratings == {"rating": 4}
    assert first.pair.example.references == ("It is in Bonn.",)
    assert second.pair.example.references == ("a b", "c d")
    assert second.ratings == {"faithful": 1, "complete": 0.5}
    assert [one.content for one in third.pair.prediction.passages] == ["one", "two", "three"]


@pytest.mark.parametrize(
    "row",
    [
        "not json",
        "[1]",
        "3",
        {**ROW, "rating": "high"},
        {**ROW, "rating": float("nan")},
        {**ROW, "rating": None},
        {**ROW, "ratings": {}},
        {**ROW, "answer": 3},
        {**ROW, "reference": [1]},
        {**ROW, "reference": None},
        {key: value for key, value in ROW.items() if key != "question"},
        {**ROW, "passages": [{"title": "x"}]},
        {**ROW, "passages": [3]},
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, row: object) -> None:
    with pytest.raises(InvalidInput, match="line 2: give a JSON object"):
        read_ratings(written(tmp_path, ROW, row))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_ratings(tmp_path / "none.jsonl")
    (tmp_path / "ratings.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_ratings(tmp_path / "ratings.jsonl")


def test_scores_each_row_by_all_that_is_compared(tmp_path: Path, embedder: OnnxEmbedder) -> None:
    wrong = {**ROW, "answer": "Shares fell sharply on Friday.", "passages": ["It is in Bonn."]}
    rows = read_ratings(written(tmp_path, ROW, wrong))
    found = scored([row.pair for row in rows], embedder)
    assert list(found) == ["relevance", "coverage", "faithfulness", ROUGE, COSINE]
    for name in ("coverage", ROUGE, COSINE):
        assert found[name][0] > found[name][1]
    assert np.isnan(found["faithfulness"][0])
    assert found["faithfulness"][1] < 0.3
