"""A store that is broken, diagnosed and mended."""

from __future__ import annotations

from typing import Any

import psycopg

from model_pipeline.store.diagnosis import Finding, diagnose

EMBEDDER = ("test", 384)


def execute(conninfo: str, *statements: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def rows(conninfo: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def unwell(conninfo: str, **options: Any) -> dict[str, Finding]:
    findings = diagnose(conninfo, **({"embedder": EMBEDDER} | options))
    return {one.name: one for one in findings if one.state != "ok" or one.mended}


def mend_and_see(conninfo: str, name: str, words: str) -> str:
    """That `name` alone is wrong, in these words, and is well once mended; what was done for it."""
    before = unwell(conninfo)
    assert [*before] == [name]
    assert words in before[name].detail
    assert before[name].fixable
    mended = unwell(conninfo, fix=True)
    assert [*mended] == [name]
    assert mended[name].state == "ok", mended[name].detail
    assert unwell(conninfo) == {}
    return mended[name].mended
