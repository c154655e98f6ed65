"""Answers by models that are loaded from a Hub, in a process of its own: the Hub's address is read
when its client is imported."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.model_pipeline.crashing import processes


def answers(
    environment: Mapping[str, str], generators: Sequence[str], question: str, folder: Path
) -> list[dict[str, Any]]:
    """Of each generator what the service makes of the question, or `error`."""
    out = folder / "answers.json"
    given = (dict(environment), list(generators), question, str(out))
    process = processes().Process(target=_answer, args=given)
    process.start()
    process.join(240)
    process.kill()
    process.join()
    assert process.exitcode == 0, process.exitcode
    found: list[dict[str, Any]] = json.loads(out.read_text())
    return found


def _answer(
    environment: Mapping[str, str], generators: Sequence[str], question: str, out: str
) -> None:
    os.environ.update(environment)
    found = [asyncio.run(_asked(one, question)) for one in generators]
    Path(out).write_text(json.dumps(found))
    os._exit(0)


async def _asked(generator: str, question: str) -> dict[str, Any]:
    from model_pipeline.errors import PromptlyError
    from model_pipeline.store.connect import open_pool
    from model_pipeline.store.pg_store import PgStore
    from promptly import serving
    from promptly.settings import read_settings

    settings = read_settings().model_copy(update={"generator": generator, "max_new_tokens": 60})
    conninfo = str(settings.database_url)
    try:
        with open_pool(conninfo, min_size=1, max_size=2) as pool:
            async with serving.answering(settings, conninfo, PgStore(pool)) as parts:
                given = await parts.answerer.answer(question)
    except PromptlyError as error:
        return {"error": error.message}
    quotes = [one.quote for one in given.citations]
    return {"answer": given.answer, "release_id": given.release_id, "quotes": quotes}
