"""Documents, answers and what people said of them, for training data to be made of by commands."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from typer.testing import CliRunner

from model_pipeline.errors import PromptlyError
from promptly.cli.app import app
from tests.training.data.making import sentence

KETTLES, GARDEN = range(24), range(24, 40)
ASK = """
with asked as (
    insert into answers (question, answer, declined, citations, release_id, collection,
        conversation_id, created_at)
    values (%(question)s, %(answer)s, %(declined)s, %(citations)s, 'r', %(collection)s,
        %(conversation)s, now() + %(after)s * interval '1 second')
    returning answer_id
)
insert into feedback (answer_id, rating, corrected_answer, harm)
select answer_id, %(rating)s, %(corrected)s, %(harm)s  from asked
"""


@dataclass(frozen=True)
class House:
    """One database, and a home for what commands write."""

    folder: Path
    database: str

    def run(self, *arguments: str, **environment: str) -> Any:
        """What the command prints as JSON. Raises what it raises."""
        return json.loads(self.tell(*arguments, "--json", **environment))

    def tell(self, *arguments: str, **environment: str) -> str:
        given = {
            "PROMPTLY_HOME": str(self.folder / "home"), "PROMPTLY_DATABASE_URL": self.database,
            **environment,
        }  # fmt: skip
        with signals():
            done = CliRunner().invoke(app, list(arguments), env=given)
        if isinstance(done.exception, PromptlyError):
            raise done.exception
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    def data(self, name: str, *arguments: str, **environment: str) -> Path:
        given = self.run(
            "train", "data", "--out", str(self.folder / name), *arguments, **environment
        )
        return Path(given["folder"])


@contextmanager
def signals() -> Iterator[None]:
    """Commands change them for a process that ends with them."""
    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(one) for one in kinds]
    try:
        yield
    finally:
        for one, handler in zip(kinds, before, strict=True):
            signal.signal(one, handler)


def write_documents(folder: Path) -> None:
    for collection, numbers in (("shop", KETTLES), ("garden", GARDEN)):
        (folder / collection).mkdir()
        for number in numbers:
            text = (
                f"# Tool {number}\n\n{sentence(number)} Page {number} of it tells its price.\n\n"
                f"You can repair tool {number} by turning its {number + 2} red screws.\n"
            )
            (folder / collection / f"{number}.md").write_text(text)


def rate(database: str, question: str, answer: str, **more: Any) -> None:
    values = {
        "question": question, "answer": answer, "declined": False, "citations": Jsonb([]),
        "collection": "shop", "conversation": None, "after": 0, "rating": "up", "corrected": None,
        "harm": None,
    } | more  # fmt: skip
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(ASK, values)
