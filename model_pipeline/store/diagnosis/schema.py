"""The schema: migrations, row-level security, indexes, rights. What ought to be there is read from
the migrations themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from psycopg import sql

from model_pipeline.store import migrations, standby
from model_pipeline.store.diagnosis.verdict import Subject, Verdict, error, fine, warning

TABLE = re.compile(r"^(create|drop) table (?:if (?:not )?exists )?public\.(\w+)", re.M | re.I)
INDEX = re.compile(
    r"^create index (?:if not exists )?(\w+) on ([^;]+);|"
    r"^drop index (?:if exists )?(?:public\.)?(\w+)",
    re.M | re.I,
)


@cache
def tables() -> list[str]:
    """Our tables."""
    left: dict[str, None] = {}
    for verb, name in TABLE.findall(migrations.text()):
        if verb.lower() == "create":
            left[name] = None
        else:
            left.pop(name, None)
    return list(left)


@cache
def index_definitions() -> dict[str, str]:
    """Our indexes by name, without those of keys: what stands after `create index name on`."""
    left: dict[str, str] = {}
    for name, definition, dropped in INDEX.findall(migrations.text()):
        if name:
            left[name] = definition
        else:
            left.pop(dropped, None)
    return left


@dataclass(frozen=True, slots=True)
class Indexes:
    """Names of indexes by what is wrong with them; `strange` are invalid ones that others made."""

    missing: list[str]
    invalid: list[str]
    wrong: list[str]
    strange: list[str]


def schema(subject: Subject) -> Verdict:
    status = migrations.status(subject.conninfo)
    migrations.require_known(one.version for one in status)
    missing = [one.version for one in status if not one.applied]
    if missing:
        return error(
            f"Migrations are missing ({', '.join(missing)}): `promptly db migrate`; what depends "
            "on them was not looked at.",
            fixable=True,
        )
    return fine("up to date")


def mend_schema(subject: Subject) -> str:
    return f"applied {', '.join(migrations.migrate(subject.conninfo))}"


def row_level_security(subject: Subject) -> Verdict:
    exposed = _exposed(subject)
    if exposed:
        return error(
            f"Row-level security is off on {', '.join(exposed)}, so that whoever may read the "
            f"table reads all of it: `alter table {exposed[0]} enable row level security`.",
            fixable=True,
        )
    return fine(f"on for {len(tables())} tables")


def mend_row_level_security(subject: Subject) -> str:
    exposed = _exposed(subject)
    with subject.transaction() as connection:
        for table in exposed:
            connection.execute(
                sql.SQL("alter table {} enable row level security").format(sql.Identifier(table))
            )
    return f"switched on for {', '.join(exposed)}"


def indexes(subject: Subject) -> Verdict:
    found = _indexes(subject)
    if found.missing or found.invalid:
        told = [
            f"{name} is {what}"
            for what, names in (("missing", found.missing), ("invalid", found.invalid))
            for name in names
        ]
        return error(
            f"Index {', index '.join(told)}, and searches are slow without: `promptly doctor "
            "--fix` builds it anew; writers wait that long.",
            fixable=True,
        )
    if found.strange:
        return warning(
            f"Of no use but kept up to date: invalid index {', '.join(found.strange)}, left by a "
            f"build that failed: `drop index {found.strange[0]}`."
        )
    return fine(f"{len(index_definitions())}, all valid")


def mend_indexes(subject: Subject) -> str:
    found = _indexes(subject)
    return _rebuild(subject, found.missing + found.invalid)


def operator_class(subject: Subject) -> Verdict:
    wrong = _indexes(subject).wrong
    if wrong:
        wanted = f"{_method(wrong[0])} {_operator_class(wrong[0])}".strip()
        return error(
            f"Index {', index '.join(wrong)} has another kind or operator class than the "
            f"search needs ({wanted}): `promptly doctor --fix` builds it anew; "
            "writers wait that long.",
            fixable=True,
        )
    return fine(_operator_class("chunks_embedding"))


def mend_operator_class(subject: Subject) -> str:
    return _rebuild(subject, _indexes(subject).wrong)


def rights(subject: Subject) -> Verdict:
    ((user, missing),) = subject.rows("missing_rights.sql", {"tables": tables()})
    if missing:
        return error(
            f"The database user {user} lacks rights ({', '.join(missing)}): grant them, or connect "
            "as the tables' owner."
        )
    ((hidden,),) = subject.rows("select row_security_active('chunks')")
    if hidden:
        return warning(
            f"Row-level security hides rows from the database user {user}, so that what is stored "
            "was not looked at: connect as the tables' owner."
        )
    return fine(f"{user} may read and write")


def _exposed(subject: Subject) -> list[str]:
    rows = subject.rows(
        "select relname from pg_class where relnamespace = 'public'::regnamespace "
        "and relname = any(%(tables)s) and not relrowsecurity order by relname",
        {"tables": tables()},
    )
    return [name for (name,) in rows]


def _indexes(subject: Subject) -> Indexes:
    there = {
        name: (valid, method, operators)
        for name, method, valid, operators in subject.rows("indexes.sql", {"tables": tables()})
    }
    ours = index_definitions()
    return Indexes(
        missing=[name for name in ours if name not in there],
        invalid=[name for name in ours if name in there and not there[name][0]],
        wrong=[
            name
            for name in ours
            if name in there
            and (
                _method(name) != there[name][1] or _operator_class(name) not in ("", there[name][2])
            )
        ],
        strange=[
            name
            for name, (valid, _, _) in there.items()
            if name not in ours and name != standby.INDEX and not valid
        ],
    )


def _method(index: str) -> str:
    named = re.search(r"\busing (\w+)", index_definitions()[index])
    return named[1] if named else "btree"


def _operator_class(index: str) -> str:
    """The operator class that the index is defined with; empty for the default one."""
    named = re.search(r"\w+_ops\b", index_definitions()[index])
    return named[0] if named else ""


def _rebuild(subject: Subject, names: list[str]) -> str:
    """Build beside the old one, then swap: readers keep what they have, writers wait for the build.
    A build that fails leaves nothing; where only the swap fails, the next mend starts over."""
    for name in names:
        new = sql.Identifier(f"{name}_new")
        with subject.transaction(patient=True) as connection:
            connection.execute(sql.SQL("drop index if exists {}").format(new))
            definition = sql.SQL(index_definitions()[name])
            connection.execute(sql.SQL("create index {} on {}").format(new, definition))
        with subject.transaction() as connection:
            old = sql.Identifier(name)
            connection.execute(sql.SQL("drop index if exists {}").format(old))
            connection.execute(sql.SQL("alter index {} rename to {}").format(new, old))
    return f"built {', '.join(names)}"
