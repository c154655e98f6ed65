"""The command that serves the UI, and the names beside the page."""

from __future__ import annotations

import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import streamlit.config

from rag_service.ui.launch import APP, command


def test_the_command_serves_the_page_with_options_that_exist() -> None:
    interpreter, _m, streamlit_name, run, app, *flags, separator, api = command(
        "http://127.0.0.1:9", 8600
    )
    assert (interpreter, streamlit_name, run) == (sys.executable, "streamlit", "run")
    assert Path(app) == APP
    assert APP.is_file()
    assert (separator, api) == ("--", "http://127.0.0.1:9")
    assert "--server.port=8600" in flags
    assert "--server.address=127.0.0.1" in flags
    known = streamlit.config.get_config_options()
    assert {flag.removeprefix("--").split("=")[0] for flag in flags} <= set(known)


def test_no_module_beside_the_page_hides_another() -> None:
    """Streamlit puts the page's folder first on the import path."""
    names = {path.stem for path in APP.parent.glob("*.py")} - {"__init__"}
    assert not names & set(sys.stdlib_module_names)
    assert not names & set(packages_distributions())
