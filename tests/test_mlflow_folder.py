"""What mlflow/ ships: no Python that would shadow the package, no secret, nothing unpinned."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import mlflow
import yaml

FOLDER = Path(__file__).parents[1] / "mlflow"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
LOCK = (FOLDER / "requirements.lock").read_text(encoding="utf-8")


def test_the_folder_holds_no_python_and_the_package_wins() -> None:
    assert not list(FOLDER.rglob("*.py"))
    assert mlflow.__file__ is not None and "site-packages" in mlflow.__file__


def test_server_image_and_client_are_of_one_version() -> None:
    (locked,) = re.findall(r"^mlflow==(\S+)", LOCK, re.MULTILINE)
    assert locked == mlflow.__version__
    assert COMPOSE["services"]["server"]["image"] == f"promptly-mlflow:{locked}"


def test_everything_is_pinned() -> None:
    packages = re.findall(r"^[a-z0-9][^\n]*\n", LOCK, re.MULTILINE)
    assert len(packages) > 50
    assert all("==" in one for one in packages)
    assert LOCK.count("--hash=sha256:") >= len(packages)
    assert "--require-hashes" in DOCKERFILE
    images = [*re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)]
    images += [one["image"] for one in COMPOSE["services"].values()]
    assert all(re.search(r":\d+\.\d+", image) for image in images)


def test_secrets_come_from_the_environment_and_are_required() -> None:
    secrets = {
        name: value
        for service in COMPOSE["services"].values()
        for name, value in service["environment"].items()
        if "PASSWORD" in name
    }
    assert secrets.keys() == {"POSTGRES_PASSWORD", "PGPASSWORD"}
    assert all(value.startswith("${MLFLOW_DB_PASSWORD:?") for value in secrets.values())
    assert "PASSWORD=" not in DOCKERFILE


def test_it_runs_as_a_user_of_its_own_on_this_machine_alone_with_health_checks() -> None:
    server, database = COMPOSE["services"]["server"], COMPOSE["services"]["database"]
    assert re.search(r"^USER mlflow$", DOCKERFILE, re.MULTILINE)
    assert server["ports"] == ["127.0.0.1:5000:5000"] and "ports" not in database
    assert server["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert "healthcheck" in database and "HEALTHCHECK" in DOCKERFILE
