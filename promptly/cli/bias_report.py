"""`promptly bias report`: what was answered, judged, and set beside the reports before."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from model_pipeline.errors import InvalidInput
from model_pipeline.store.reports import BUCKET, SupabaseReports
from promptly import bootstrap
from promptly.cli.bad_input import bad_input_tells
from promptly.cli.bias_validate import JudgeOption
from promptly.cli.interrupt import be_interruptible
from promptly.cli.output import JsonFlag, out, print_json, safe
from promptly.cli.progress import bar
from promptly.settings import Settings, read_settings

if TYPE_CHECKING:
    from bias.report.figures import Json
    from bias.verdicts import Judge

EXIT_UNJUDGED = 1
EXIT_WORSE = 3
LONGEST_PERIOD = 3_660  # days
DAYS = re.compile(r"(\d{1,4})d")
EARLIEST, LATEST = date(1900, 1, 1), date(2999, 12, 31)


def report(
    since: Annotated[
        str, typer.Option(metavar="7d|DATE", help="So many days, or the first day: 2026-01-31.")
    ] = "7d",
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="The last day, in UTC; today by default.")
    ] = None,
    sample: Annotated[
        int,
        typer.Option(
            min=0,
            help="Answers to judge, of each day, collection and release by its share; 0: all.",
        ),
    ] = 1000,
    judge: JudgeOption = None,
    probes: Annotated[
        bool, typer.Option(help="Ask the fixed probes of the release that is set, too.")
    ] = True,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Write the files to this folder, too.")
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(help="Append the Markdown to this file: $GITHUB_STEP_SUMMARY."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of sample and resampling.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Report how fair the answers of a period were, by a judge and by probes.

    Stopped or killed, the same command goes on: nothing is judged twice. The report is kept in the
    database, and in Supabase Storage or under PROMPTLY_HOME. Exit status: 0 reported, 1 reported
    but something could not be judged or asked, 2 bad input, 3 reported and something is worse or
    unequal.
    """  # fmt: skip
    settings = read_settings()
    be_interruptible()
    with bad_input_tells():
        first, end = period(since, until, today=datetime.now(UTC).date())
        found, files = _made(
            settings, first, end, sample or None, judge or [], probes, seed, as_json
        )
        names = keep(settings, found, files)
        if folder:
            _write(folder, files)
        if summary:
            _append(summary, files[".md"])
    (_tell_json if as_json else _tell)(found, names)
    if found["declines"] or found["gaps"]:
        raise typer.Exit(EXIT_WORSE)
    if found["failures"] or (found["probes"] and found["probes"]["failures"]):
        raise typer.Exit(EXIT_UNJUDGED)


def period(since: str, until: str | None, *, today: date) -> tuple[datetime, datetime]:
    """Whole days in UTC: the beginning of the first, and the end of the last. Raises
    InvalidInput."""
    last = _day(until, "--until") if until else today
    days = DAYS.fullmatch(since)
    first = last - timedelta(int(days[1]) - 1) if days else _day(since, "--since")
    if not 0 <= (last - first).days < LONGEST_PERIOD:
        raise InvalidInput(
            f"From {first} to {last} is no period of 1 to {LONGEST_PERIOD} days: give another "
            "--since or --until."
        )
    midnight = time(tzinfo=UTC)
    return datetime.combine(first, midnight), datetime.combine(last + timedelta(1), midnight)


def _day(text: str, option: str) -> date:
    try:
        found = date.fromisoformat(text)
        if not EARLIEST <= found <= LATEST:
            raise ValueError(text)
        return found
    except ValueError as error:
        raise InvalidInput(
            f"{option} is {text!r}: give a day, such as 2026-01-31, or days, such as 7d."
        ) from error


def _made(
    settings: Settings,
    since: datetime,
    until: datetime,
    size: int | None,
    specs: list[str],
    probes: bool,
    seed: int,
    hidden: bool,
) -> tuple[Json, dict[str, bytes]]:
    """The report, and its files by the end of their names; kept in the database."""
    from bias.report import page, report
    from bias.report.file import to_json
    from promptly import bias_reporting
    from promptly.bias_judges import open_judge

    with bias_reporting.reporting(settings) as opened, bar(hidden=hidden) as tell:
        judging: Judge = open_judge(specs, settings)
        probed = None
        if probes:
            probed = bias_reporting.probe(
                settings, opened.evaluating, judging, seed=seed, tell=tell
            )
        found = report.make(
            bias_reporting.gather(
                opened.verdicts, judging, since, until,
                size=size, seed=seed, probed=probed, tell=tell,
            )
        )  # fmt: skip
        text = to_json(found)
        opened.verdicts.keep_report(judging.signature, since, until, text)
    files = {".json": text, ".html": page.html(found), ".md": page.markdown(found)}
    return found, {end: content.encode("utf-8", "replace") for end, content in files.items()}


def keep(settings: Settings, found: Json, files: dict[str, bytes]) -> list[str]:
    """In Storage, or the folder for reports; gives where. No address that opens a report: what is
    printed here may be a log that others read."""
    from bias.report.report import period as days_of

    signature = hashlib.sha256(found["judge"].encode()).hexdigest()[:8]
    name = f"bias-{days_of(found).replace(' ', '-')}-{signature}"
    with bootstrap.reports(settings) as place:
        for end, content in files.items():
            place.put(name + end, content)
        in_bucket = isinstance(place, SupabaseReports)
    where = f"bucket {BUCKET}" if in_bucket else str(settings.reports_dir)
    return [f"{where}/{name}{end}" for end in files]


def _write(folder: Path, files: dict[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for end, content in files.items():
            (folder / f"bias-report{end}").write_bytes(content)
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be written: {error.strerror}.") from error


def _append(path: Path, content: bytes) -> None:
    try:
        with path.open("ab") as file:
            file.write(content)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from error


def _tell(found: Json, names: list[str]) -> None:
    from bias.report import page

    for line in (
        page.title(found),
        page.verdict(found),
        page.answers(found),
        page.reviews(found["reviews"]),
        *([f"Probes: {page.probes(found)}"] if found["probes"] else []),
        *(f"Could not be judged: {one['name']} ({one['count']})" for one in found["failures"]),
        *(f"Report: {name}" for name in names),
    ):
        out.print(safe(line), markup=False, highlight=False, soft_wrap=True)


def _tell_json(found: Json, names: list[str]) -> None:
    told: dict[str, Any] = {**found, "files": names}
    print_json(told)
