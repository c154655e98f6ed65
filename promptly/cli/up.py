"""`promptly up`: database, API, UI and worker together, stopped together."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx
from rich.markup import escape

from model_pipeline.errors import ConfigurationError, Unavailable
from promptly import accounts, bootstrap
from promptly.cli.interrupt import be_interruptible
from promptly.cli.output import out
from promptly.settings import Settings, read_settings
from rag_service.ui.launch import command as ui_command

DEMO = "demo:python"
QUESTION = "When are default parameter values evaluated?"
START_LIMIT_S = 120.0
STOP_LIMIT_S = 8.0


@dataclass(frozen=True, slots=True)
class Service:
    """A child process, the address people use, None for the worker's, and the path there that tells
    when it is ready."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    address: str | None
    health: str


def up() -> None:
    """Start the database, the API, the UI and the worker; Ctrl-C stops them."""
    settings = read_settings()
    settings.require_private(settings.api_host, "PROMPTLY_API_HOST")
    settings.require_private(settings.ui_host, "PROMPTLY_UI_HOST")
    accounts.sign_in(settings)  # what is wrong with it is said before anything starts
    _require_free(settings.api_host, settings.api_port, "PROMPTLY_API_PORT")
    _require_free(settings.ui_host, settings.ui_port, "PROMPTLY_UI_PORT")
    with _interruptible(), bootstrap.database(settings) as conninfo:
        _ingest_demo(settings)
        environment = {**os.environ, "PROMPTLY_DATABASE_URL": conninfo}
        with _services(settings, environment) as services:
            for service in services:
                _wait_until_ready(service, services)
            # Last: its start takes nothing from theirs.
            command = [sys.executable, "-m", "promptly", "worker"]
            services.append(_start(settings, environment, "worker", command))
            _greet(services)
            _watch(services)


def _require_free(host: str, port: int, variable: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} on {host} cannot be used ({error.strerror}): stop what uses it, or "
                f"choose another with {variable}=..."
            ) from error


@contextmanager
def _interruptible() -> Iterator[None]:
    be_interruptible()
    try:
        yield
    except KeyboardInterrupt:
        out.print("Stopped.")


def _ingest_demo(settings: Settings) -> None:
    """The Python language reference, where the store is empty: in a process of its own, so that
    this one stays small."""
    with bootstrap.store(settings) as store:
        if store.counts()["documents"]:
            return
    out.print("Reading the demo documents: the Python language reference.")
    command = [sys.executable, "-m", "promptly", "ingest", DEMO, "--collection", "python"]
    if subprocess.run(command, check=False).returncode:  # noqa: S603
        raise ConfigurationError("The demo documents could not be read; the reason stands above.")


@contextmanager
def _services(settings: Settings, environment: dict[str, str]) -> Iterator[list[Service]]:
    """The API and the UI; whatever is added is stopped with them."""
    api = f"http://{settings.api_host}:{settings.api_port}"
    ui = f"http://{settings.ui_host}:{settings.ui_port}"
    serve = [sys.executable, "-m", "promptly", "api"]
    show = ui_command(
        api, settings.ui_port, host=settings.ui_host, sign_in=accounts.sign_in(settings)
    )
    services: list[Service] = []
    try:
        services.append(_start(settings, environment, "API", serve, api, "/readyz"))
        services.append(_start(settings, environment, "UI", show, ui, "/_stcore/health"))
        yield services
    finally:
        _stop(services)


def _start(
    settings: Settings,
    environment: dict[str, str],
    name: str,
    command: list[str],
    address: str | None = None,
    health: str = "",
) -> Service:
    logs = settings.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name.lower()}.log"
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches this process alone, and it stops the rest.
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    return Service(name, process, log, address, health)


def _stop(services: Sequence[Service]) -> None:
    for service in reversed(services):
        service.process.terminate()
    deadline = time.monotonic() + STOP_LIMIT_S
    for service in services:
        try:
            service.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            service.process.kill()
            service.process.wait()


def _wait_until_ready(service: Service, services: Sequence[Service]) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        _require_alive(services)
        try:
            if httpx.get(
                f"{service.address}{service.health}", timeout=2.0, trust_env=False
            ).is_success:
                return
        except httpx.HTTPError:
            pass  # not listening yet
        time.sleep(0.1)
    raise Unavailable(f"The {service.name} was not ready in time: its log is {service.log}.")


def _require_alive(services: Sequence[Service]) -> None:
    for service in services:
        code = service.process.poll()
        if code is not None:
            tail = service.log.read_text(errors="replace").strip().splitlines()[-5:]
            raise Unavailable(
                f"The {service.name} stopped by itself (exit status {code}); its log is "
                f"{service.log} and ends: {' / '.join(tail) or 'nothing'}"
            )


def _greet(services: Sequence[Service]) -> None:
    for service in services:
        if service.address is not None:
            out.print(f"[bold]{service.name}[/bold]\t{escape(service.address)}", highlight=False)
    out.print(f'\nTry: [green]promptly ask "{QUESTION}"[/green] or open the UI. Ctrl-C stops.')


def _watch(services: Sequence[Service]) -> NoReturn:
    while True:
        _require_alive(services)
        time.sleep(0.5)
