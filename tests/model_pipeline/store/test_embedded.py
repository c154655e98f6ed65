"""The embedded server: shared, private, and back after every kind of death."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from model_pipeline.errors import ConfigurationError
from model_pipeline.store.embedded import embedded_postgres

JOIN = """
import sys, pathlib
from model_pipeline.store.embedded import embedded_postgres
with embedded_postgres(pathlib.Path(sys.argv[1])) as conninfo:
    print(conninfo, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "postgres"


def joined(data_dir: Path) -> subprocess.Popen[str]:
    """Another process that uses the server until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", JOIN, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "host=" in process.stdout.readline()
    return process


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate("", timeout=30)
    assert process.returncode == 0


def server_pid(data_dir: Path) -> int:
    return int((data_dir / "postmaster.pid").read_text().splitlines()[0])


def is_up(data_dir: Path) -> bool:
    return (data_dir / "postmaster.pid").exists()


def value(conninfo: str, query: str) -> object:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]


def wait_until_answers(conninfo: str, *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(conninfo).close()
            return
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "the server did not come back"
            time.sleep(0.05)


def test_starts_private_and_stops(data_dir: Path) -> None:
    with embedded_postgres(data_dir) as conninfo:
        assert value(conninfo, "show server_version_num") >= "180000"
        assert value(conninfo, "show jit") == "off"
        assert value(conninfo, "show timezone") == "UTC"
        assert value(conninfo, "show listen_addresses") == ""
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert not is_up(data_dir)


def test_encoding_and_order_do_not_follow_the_users_environment(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.ISO-8859-1")
    monkeypatch.setenv("PGDATA", "/nowhere")
    with embedded_postgres(data_dir) as conninfo:
        assert value(conninfo, "show server_encoding") == "UTF8"
        assert value(conninfo, "select datlocale from pg_database where datname = 'postgres'") == (
            "C.UTF-8"
        )


def test_last_one_out_stops_it(data_dir: Path) -> None:
    with embedded_postgres(data_dir):
        other = joined(data_dir)
        pid = server_pid(data_dir)
    assert is_up(data_dir)
    assert server_pid(data_dir) == pid
    leave(other)
    assert not is_up(data_dir)


def test_many_first_starts_at_once_share_one_server(data_dir: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", JOIN, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    try:
        assert len({p.stdout.readline() for p in processes if p.stdout}) == 1
    finally:
        for process in processes:
            process.communicate("", timeout=30)
    assert [p.returncode for p in processes] == [0, 0, 0]
    assert not is_up(data_dir)


def test_a_killed_user_counts_as_gone(data_dir: Path) -> None:
    killed = joined(data_dir)
    killed.kill()
    killed.communicate()
    assert is_up(data_dir)
    with embedded_postgres(data_dir) as conninfo:
        assert value(conninfo, "select 1") == 1
    assert not is_up(data_dir)


def test_a_killed_server_comes_back_by_itself_with_its_data(data_dir: Path) -> None:
    with embedded_postgres(data_dir) as conninfo:
        with psycopg.connect(conninfo) as connection:
            connection.execute("create table kept as select 7 as n")
        os.kill(server_pid(data_dir), signal.SIGKILL)
        time.sleep(0.1)
        wait_until_answers(conninfo)
        assert value(conninfo, "select n from kept") == 7


def test_everything_killed_then_started_anew(data_dir: Path) -> None:
    user = joined(data_dir)
    with psycopg.connect(f"host={data_dir} user=postgres dbname=postgres") as connection:
        connection.execute("create table kept as select 7 as n")
    user.kill()
    user.communicate()
    os.kill(server_pid(data_dir), signal.SIGKILL)
    with embedded_postgres(data_dir) as conninfo:
        assert value(conninfo, "select n from kept") == 7


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_pid_file_whose_number_is_another_programs_by_now(data_dir: Path) -> None:
    with embedded_postgres(data_dir):
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
    lines[0] = str(os.getpid())
    (data_dir / "postmaster.pid").write_text("\n".join(lines) + "\n")
    with embedded_postgres(data_dir) as conninfo:
        assert value(conninfo, "select 1") == 1


def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    data_dir = tmp_path / ("long" * 40) / "postgres"
    with embedded_postgres(data_dir) as conninfo:
        assert value(conninfo, "select 1") == 1


def test_processes_with_other_temporary_folders_share_one_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = tmp_path / ("long" * 40) / "postgres"
    with embedded_postgres(data_dir) as conninfo:
        pid = server_pid(data_dir)
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        leave(joined(data_dir))
        assert server_pid(data_dir) == pid
        assert value(conninfo, "select 1") == 1


def test_a_link_to_the_folder_leads_to_the_same_server(data_dir: Path) -> None:
    with embedded_postgres(data_dir) as conninfo:
        link = data_dir.with_name("link")
        link.symlink_to(data_dir)
        with embedded_postgres(link) as through_link:
            assert through_link == conninfo
        assert value(conninfo, "select 1") == 1


def test_a_folder_copied_while_its_server_ran_gets_a_server_of_its_own(data_dir: Path) -> None:
    with embedded_postgres(data_dir):
        pid_file = (data_dir / "postmaster.pid").read_bytes()
    copy = data_dir.with_name("copy")
    with embedded_postgres(data_dir) as original:
        with embedded_postgres(copy) as conninfo:
            assert conninfo != original
        (copy / "postmaster.pid").write_bytes(pid_file)
        with embedded_postgres(copy) as conninfo:
            assert value(conninfo, "show data_directory") == str(copy)


def test_says_nothing_while_all_is_well(
    data_dir: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with embedded_postgres(data_dir) as conninfo:
        value(conninfo, "select 1")
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_the_log_does_not_grow_from_run_to_run(data_dir: Path) -> None:
    for _ in range(3):
        with embedded_postgres(data_dir):
            pass
    log = (data_dir / "server.log").read_text()
    assert log.count("database system is ready to accept connections") == 1
    assert len(list(data_dir.glob("server.log*"))) == 2


def test_a_path_with_spaces_and_quotes(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path / 'it\'s a, "folder" `$HOME`' / "postgres") as conninfo:
        assert value(conninfo, "select 1") == 1


def test_an_interrupted_first_start_is_begun_again(data_dir: Path) -> None:
    half = data_dir.with_name(f".{data_dir.name}.new")
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with embedded_postgres(data_dir) as conninfo:
        assert value(conninfo, "select 1") == 1


def test_data_of_another_major_version_is_refused(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "PG_VERSION").write_text("16\n")
    with (
        pytest.raises(ConfigurationError, match=r"was made by PostgreSQL 16.* carries 18"),
        embedded_postgres(data_dir),
    ):
        pass


def test_a_folder_of_something_else_is_left_alone(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match="no PostgreSQL data"), embedded_postgres(data_dir):
        pass
    assert (data_dir / "thesis.txt").read_text() == "years of work"


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with (
        pytest.raises(ConfigurationError, match=r"cannot be used .*PROMPTLY_HOME"),
        embedded_postgres(tmp_path / "home" / "postgres"),
    ):
        pass


def as_nobody(data_dir: Path, result: multiprocessing.Queue[str]) -> None:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    try:
        with embedded_postgres(data_dir):
            result.put("started")
    except ConfigurationError as error:
        result.put(error.message)


def outcome_as_nobody(data_dir: Path) -> str:
    context = multiprocessing.get_context("fork")
    result: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=as_nobody, args=(data_dir, result))
    process.start()
    outcome = result.get(timeout=20)
    process.join()
    return outcome


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert "Permission denied" in outcome_as_nobody(tmp_path / "postgres")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_the_folder_of_another_user_is_left_alone(data_dir: Path) -> None:
    with embedded_postgres(data_dir):
        pass
    os.chown(data_dir, 65534, 65534)
    with (
        pytest.raises(ConfigurationError, match=r"belongs to another user.*PROMPTLY_HOME"),
        embedded_postgres(data_dir),
    ):
        pass
    assert data_dir.stat().st_uid == 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user() -> None:
    # Not under tmp_path, which only its owner may pass through.
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        assert outcome_as_nobody(Path(folder) / "postgres") == "started"


def test_a_full_disk_is_one_sentence_and_leaves_nothing(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(100 << 20))
    with (
        pytest.raises(ConfigurationError, match="No space left on device"),
        embedded_postgres(small_disk / "postgres"),
    ):
        pass
    assert not (small_disk / "postgres").exists()
