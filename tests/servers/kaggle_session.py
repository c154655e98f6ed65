"""Runs a notebook as a Kaggle session does, in the clean environment that kaggle_server.py makes:
`python kaggle_session.py NOTEBOOK FOLDER LOG`. What it prints is logged as it comes."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


class Session(NotebookClient):  # type: ignore[misc]
    told: Any

    def output(self, outs: Any, msg: Any, display_id: Any, cell_index: Any) -> Any:
        content = msg["content"]
        if msg["msg_type"] == "stream":
            self.tell(content["name"], content["text"])
        elif msg["msg_type"] == "error":
            self.tell("stderr", "\n".join(content["traceback"]) + "\n")
        return super().output(outs, msg, display_id, cell_index)

    def tell(self, stream: str, text: str) -> None:
        row = {"stream_name": stream, "time": time.monotonic() - STARTED, "data": text}
        self.told.write(json.dumps(row) + "\n")
        self.told.flush()


STARTED = time.monotonic()


def main(notebook: str, folder: str, log: str) -> int:
    cells = nbformat.reads(Path(notebook).read_text("utf-8"), as_version=4)
    session = Session(cells, kernel_name="python3", resources={"metadata": {"path": folder}})
    with Path(log).open("a", encoding="utf-8") as session.told:
        try:
            session.execute()
        except CellExecutionError as error:
            session.tell("stderr", f"{error.ename}: {error.evalue}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
