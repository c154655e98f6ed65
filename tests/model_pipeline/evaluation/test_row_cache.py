import sqlite3
from pathlib import Path

import numpy as np
import pytest

from model_pipeline.evaluation.row_cache import RowCache, key

ROWS = np.array([[0.1, np.nan], [2.0, 1e300]])
KEYS = [key("a"), key("b")]


def test_rows_come_back_bit_by_bit_in_the_next_run(tmp_path: Path) -> None:
    with RowCache(tmp_path / "deep" / "rows.sqlite", width=2) as cache:
        cache.put(KEYS, ROWS)
    with RowCache(tmp_path / "deep" / "rows.sqlite", width=2) as cache:
        found = cache.get([*KEYS, key("c")])
    assert [found[one].tobytes() for one in KEYS] == [row.tobytes() for row in ROWS]
    assert len(found) == 2


def test_keys_tell_texts_apart_where_joining_them_would_not() -> None:
    texts = [("ab", ""), ("a", "b"), ("", "ab"), ("ab",), ("a\x00b",), ("\ud800",), ("\ud801",)]
    assert len({key(*one) for one in texts}) == len(texts)


def test_the_newest_rows_are_kept_up_to_the_limit(tmp_path: Path) -> None:
    with RowCache(tmp_path / "rows.sqlite", width=2, max_rows=3) as cache:
        for n in range(10):
            cache.put([key(str(n))], np.array([[n, n]]))
        assert set(cache.get([key(str(n)) for n in range(10)])) == {key(c) for c in "789"}


def test_many_keys_are_found_at_once(tmp_path: Path) -> None:
    keys = [key(str(n)) for n in range(1_234)]
    with RowCache(tmp_path / "rows.sqlite", width=1) as cache:
        cache.put(keys, np.arange(1_234.0)[:, None])
        assert sum(float(row[0]) for row in cache.get(keys).values()) == sum(range(1_234))


def test_rows_of_another_width_are_not_taken(tmp_path: Path) -> None:
    with RowCache(tmp_path / "rows.sqlite", width=2) as cache:
        cache.put(KEYS, ROWS)
    with RowCache(tmp_path / "rows.sqlite", width=3) as cache:
        assert cache.get(KEYS) == {}


def test_two_runs_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    with RowCache(path, width=2) as one, RowCache(path, width=2) as other:
        one.put(KEYS[:1], ROWS[:1])
        other.put(KEYS[1:], ROWS[1:])
        assert len(one.get(KEYS)) == len(other.get(KEYS)) == 2


def test_a_damaged_file_is_told_of_and_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rows.sqlite"
    path.write_bytes(b"this is no database, and long enough to be one" * 100)
    with RowCache(path, width=2) as cache:
        cache.put(KEYS, ROWS)
        assert cache.get(KEYS) == {}
    assert "is not used" in caplog.text and not path.exists()
    with RowCache(path, width=2) as cache:
        cache.put(KEYS, ROWS)
        assert len(cache.get(KEYS)) == 2


def test_what_is_damaged_inside_is_thrown_away_when_it_is_met(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rows.sqlite"
    keys = [key(str(n)) for n in range(2_000)]
    with RowCache(path, width=20) as cache:
        cache.put(keys, np.ones((2_000, 20)))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with RowCache(path, width=20) as cache:
        assert cache.get(keys) == {}
        cache.put(keys[:1], np.ones((1, 20)))
    assert "is not used" in caplog.text and not path.exists()


def test_a_file_that_cannot_be_used_is_done_without_and_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("mine")
    with RowCache(tmp_path / "file" / "rows.sqlite", width=2) as cache:
        cache.put(KEYS, ROWS)
        assert cache.get(KEYS) == {}
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("create table rows (something text)")
    database.close()
    with RowCache(path, width=2) as cache:
        cache.put(KEYS, ROWS)
        assert cache.get(KEYS) == {}
    assert path.exists() and caplog.text.count("is not used") == 2


def test_without_a_file_nothing_is_kept() -> None:
    with RowCache(None, width=2) as cache:
        cache.put(KEYS, ROWS)
        assert cache.get(KEYS) == {}
