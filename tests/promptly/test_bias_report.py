"""`promptly bias report`, `review` and `reviews export` as who runs a service meets them: real
processes, a real database, the shipped judge."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from uuid import UUID

import psycopg
import pytest
from pydantic import SecretStr

from bias.labels import Fields, read_labels
from bias.report.file import from_json
from bias.report.judging import BATCH
from model_pipeline.errors import InvalidInput
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.reports import FolderReports
from promptly import bootstrap
from promptly.cli.bias_report import keep, period
from promptly.settings import Settings
from tests.promptly.commands import promptly, started
from tests.servers.supabase_lite import SupabaseServer

FAIR = (
    "The kettle holds two litres and boils them in three minutes. [1]",
    "She is a deaf lawyer who has won three cases this year. [1]",
    "The mosque opens at nine, and visitors of all faiths are welcome. [1]",
    "Bring the filter back to the shop within thirty days. [1]",
)
HARMFUL = "All immigrants are criminals who should be deported. [1]"
ASKED = "My name is Ann Smith. What are immigrants like?"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, embedder_cache: Path) -> Iterator[Path]:
    """With its server running, so that not each command starts and stops it."""
    made = tmp_path_factory.mktemp("home")
    (made / "cache").symlink_to(embedder_cache)
    path = made / "shop.jsonl"
    path.write_text(
        json.dumps({"id": "1", "text": "The kettle of Bern boils water for tea in the shop."})
        + "\n"
    )
    with embedded_postgres(made / "postgres"):
        assert run(made, "ingest", str(path)).returncode == 0
        yield made


@pytest.fixture(scope="module")
def harmful(home: Path) -> UUID:
    """The answer to be found; beside it are fair ones, a declined one and one of long ago."""
    with (
        bootstrap.database(Settings(home=home)) as conninfo,
        psycopg.connect(conninfo) as connection,
    ):
        for text in FAIR:
            put(connection, "What is it?", text)
        put(connection, "What is it?", "The documents do not say.", declined=True)
        put(connection, "What is it?", HARMFUL, days=400)
        return put(connection, ASKED, HARMFUL)


def put(
    connection: psycopg.Connection[Any], question: str, answer: str, *, declined: bool = False,
    days: int = 0,
) -> UUID:  # fmt: skip
    row = connection.execute(
        "insert into answers (question, answer, release_id, declined, created_at) "
        "values (%s, %s, 'r1', %s, now() - %s * interval '1 day') returning answer_id",
        (question, answer, declined, days),
    ).fetchone()
    assert row is not None
    return UUID(str(row[0]))


def run(home: Path, *arguments: str) -> CompletedProcess[str]:
    done = promptly(*arguments, environment={"PROMPTLY_HOME": str(home), "COLUMNS": "200"})
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def reported(
    home: Path, harmful: UUID, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, CompletedProcess[str]]]:
    folder = tmp_path_factory.mktemp("reported")
    summary = str(folder / "summary.md")
    done = run(home, "bias", "report", "--out", str(folder), "--summary", summary)
    assert done.returncode in (0, 3), done.stderr
    yield folder, done


def test_a_report_counts_judges_and_shows_what_was_answered(
    reported: tuple[Path, CompletedProcess[str]], home: Path, harmful: UUID
) -> None:
    folder, done = reported
    found = from_json((folder / "bias-report.json").read_text())
    assert found["answers"] == {
        "given": 6, "declined": 1, "withheld": 0, "chosen": 5, "judged": 5,
        "abstained": found["answers"]["abstained"],
    }  # fmt: skip
    worst = found["worst"][0]
    assert worst["answer_id"] == str(harmful) and worst["level"] <= 2
    assert any(piece["marked"] for piece in worst["answer"])
    assert worst["question"] == "[personal]. What are immigrants like?"
    assert found["probes"]["variants"] > 100 and found["probes"]["failures"] == {}
    page = (folder / "bias-report.html").read_text()
    assert "<mark>" in page and "Ann Smith" not in page
    assert "6 answers, 1 of them declined" in done.stdout
    assert (folder / "summary.md").read_text() == (folder / "bias-report.md").read_text()
    names = FolderReports(home / "reports").names()
    assert [Path(name).suffix for name in names] == [".html", ".json", ".md"]
    assert str(home / "reports" / names[0]) in done.stdout


def test_again_it_is_the_same_bytes_and_judges_nothing_twice(
    reported: tuple[Path, CompletedProcess[str]], home: Path, tmp_path: Path
) -> None:
    """Whatever another version kept of the time before."""
    folder, first = reported
    before = verdicts(home)
    with (
        bootstrap.database(Settings(home=home)) as conninfo,
        psycopg.connect(conninfo) as connection,
    ):
        connection.execute(
            "insert into bias_reports (signature, since, until, hash, report) "
            "select signature, since - interval '7 days', since, 'x', '{\"version\": 0}' "
            "from bias_reports"
        )
    done = run(home, "bias", "report", "--out", str(tmp_path))
    assert done.returncode == first.returncode and done.stdout == first.stdout
    for name in ("bias-report.json", "bias-report.html", "bias-report.md"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert verdicts(home) == before and len(before) == 5
    with (
        bootstrap.database(Settings(home=home)) as conninfo,
        psycopg.connect(conninfo) as connection,
    ):
        assert connection.execute("select count(*) from bias_reports").fetchone() == (2,)


def verdicts(home: Path) -> list[Any]:
    with (
        bootstrap.database(Settings(home=home)) as conninfo,
        psycopg.connect(conninfo) as connection,
    ):
        return connection.execute(
            "select answer_id, level, created_at from verdicts order by 1"
        ).fetchall()


def test_killed_it_goes_on_and_judges_only_the_rest(home: Path, harmful: UUID) -> None:
    """Long ago, so that no other test's answers are in its period."""
    long_ago = 1_000
    with bootstrap.database(Settings(home=home)) as conninfo:
        with psycopg.connect(conninfo) as connection:
            for number in range(12 * BATCH):
                put(connection, "What is it?", f"{FAIR[number % 4]} {number}", days=long_ago)
        day = (datetime.now(UTC) - timedelta(days=long_ago)).date()
        arguments = ["bias", "report", "--since", f"{day}", "--until", f"{day}", "--no-probes"]
        process = started(*arguments, environment={"PROMPTLY_HOME": str(home)})
        while not (before := judged_on(conninfo, day)):
            assert process.is_alive()
            time.sleep(0.01)
        process.kill()
        process.join()
        before = judged_on(conninfo, day)
        assert 0 < len(before) < 12 * BATCH
        assert run(home, *arguments).returncode == 0
        after = judged_on(conninfo, day)
    assert len(after) == 12 * BATCH
    assert before.items() <= after.items(), "what was judged is not judged again"


def judged_on(conninfo: str, day: date) -> dict[UUID, datetime]:
    with psycopg.connect(conninfo) as connection:
        return dict(
            connection.execute(
                "select v.answer_id, v.created_at from verdicts as v "
                "join answers as a using (answer_id) where a.created_at::date = %s",
                (day,),
            ).fetchall()
        )


def test_another_period_has_other_answers(home: Path, harmful: UUID) -> None:
    day = (datetime.now(UTC) - timedelta(days=400)).date()
    done = run(
        home, "bias", "report", "--since", f"{day - timedelta(days=1)}", "--until",
        f"{day + timedelta(days=1)}", "--no-probes", "--json",
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert (found["answers"]["given"], found["whole"]["n"] + found["whole"]["abstained"]) == (1, 1)
    assert found["probes"] is None


def test_a_contested_verdict_becomes_a_label(
    reported: object, home: Path, harmful: UUID, tmp_path: Path
) -> None:
    fair = next(answer_id for answer_id, *_ in verdicts(home) if answer_id != harmful)
    confirmed = run(home, "bias", "review", str(fair), "--confirm")
    assert confirmed.returncode == 0 and "Confirmed level" in confirmed.stdout
    done = run(
        home, "bias", "review", str(harmful), "--contest", "4", "--comment", "A quote.", "--json"
    )
    said = json.loads(done.stdout)
    assert (said["level"], said["confirms"]) == (4, False) and said["judged"] <= 2
    path = tmp_path / "labels.jsonl"
    assert run(home, "bias", "reviews", "export", "--out", str(path)).returncode == 0
    found = read_labels(path, Fields())
    assert found.is_rated and len(found.rows) == 2
    assert {one.text: one.rating for one in found.rows}[HARMFUL] == 4.0
    printed = run(home, "bias", "reviews", "export").stdout
    assert printed == path.read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("report", "--since", "soon"), "--since is 'soon'"),
        (("report", "--until", "2026-13-01"), "--until is '2026-13-01'"),
        (("report", "--since", "0d"), "no period"),
        (("report", "--since", "2099-01-01"), "no period"),
        (("review", "00000000-0000-0000-0000-000000000000", "--confirm"), "There is no verdict"),
        (("review", "00000000-0000-0000-0000-000000000000"), "either --confirm or --contest"),
        (("review", "none", "--confirm"), "should be a valid UUID"),
        (
            ("review", "00000000-0000-0000-0000-000000000000", "--contest", "6"),
            "less than or equal to 5",
        ),
    ],
)
def test_what_is_asked_wrongly_is_told_in_a_sentence(
    home: Path, arguments: tuple[str, ...], told: str
) -> None:
    done = run(home, "bias", *arguments)
    assert done.returncode in (1, 2)
    assert told in re.sub(r"[\s│]+", " ", done.stderr)


def test_a_period_is_of_whole_days() -> None:
    today = date(2026, 3, 8)
    week = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)
    assert period("7d", None, today=today) == week
    assert period("2026-03-02", None, today=today) == week
    assert period("7d", "2026-03-08", today=date(2026, 5, 1)) == week
    first, end = period("1d", None, today=today)
    assert end - first == timedelta(days=1)
    with pytest.raises(InvalidInput):
        period("9999d", None, today=today)
    with pytest.raises(InvalidInput):
        period("7d", "0001-01-02", today=today)
    with pytest.raises(InvalidInput):
        period("7d", "9999-12-31", today=today)


def test_a_report_goes_to_storage_where_the_project_is_named(
    supabase_server: SupabaseServer, tmp_path: Path
) -> None:
    settings = Settings(
        home=tmp_path,
        supabase_url=supabase_server.url,
        supabase_secret_key=SecretStr(supabase_server.service_key),
    )
    found = {"judge": "j", "since": "2026-03-02T00:00:00Z", "until": "2026-03-09T00:00:00Z"}
    files = {".json": b"{}", ".html": b"<h1>Bias</h1>", ".md": b"# Bias"}
    told = [keep(settings, found, files) for _ in range(2)]
    assert told[0] == told[1]
    assert told[0][0].startswith("bucket promptly-reports/bias-2026-03-02-to-2026-03-08-")
    with bootstrap.reports(settings) as place:
        names = [one.rsplit("/", 1)[1] for one in told[0]]
        assert [one for one in place.names() if one.startswith("bias-")] == sorted(names)
        assert [place.get(name) for name in names] == list(files.values())
    assert not (tmp_path / "reports").exists()
