"""Starts a session: in this process, or in one of its own for each device, by PyTorch's launcher,
which is what accelerate takes its place in the group from."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from model_pipeline.errors import ConfigurationError, InvalidInput, PromptlyError
from training.config import FinetuneConfig
from training.learning.failed import FinetuneFailed
from training.learning.progress import Progress
from training.learning.session import Job

ERRORS: tuple[type[PromptlyError], ...] = (FinetuneFailed, ConfigurationError, InvalidInput)
ERROR = re.compile(r"(?:^|: )([\w.]+(?:Error|Exception): .*)$", re.MULTILINE)
STOP = "stop"  # a file: it reaches every process, and a signal would end the launcher


def train(job: Job, *, here: bool) -> None:
    """Raises what the session raises."""
    if here:
        from training.learning.learn import learn

        learn(job)
        return
    with TemporaryDirectory(prefix="finetune-") as scratch:
        path = Path(scratch) / "job.json"
        path.write_text(json.dumps(_to_dict(job)), "utf-8")
        command = [
            sys.executable, "-m", "torch.distributed.run", "--standalone",
            f"--nproc-per-node={job.processes}", "-m", "training.learning.launch", str(path),
        ]  # fmt: skip
        # A group of its own: Ctrl-C is for this process, which tells them to stop.
        with subprocess.Popen(  # noqa: S603
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            close_fds=False,  # the folder stays theirs should this process be killed
        ) as launched:
            try:
                said = _listen(launched, job, path.with_name(STOP))
            except BaseException:
                launched.terminate()
                raise
    if launched.returncode:
        raise said or FinetuneFailed(
            f"A process of the fine-tune ended with {launched.returncode}."
        )


def _listen(launched: subprocess.Popen[str], job: Job, stop: Path) -> PromptlyError | None:
    """Hands on what the processes say, and gives what ended them: what one of them raised, or the
    first that Python says of an error."""
    raised: PromptlyError | None = None
    assert launched.stdout is not None
    for line in launched.stdout:
        found = _parsed(line)
        if "stage" in found:
            job.tell(Progress(**found))
        elif "raised" in found:
            known = {one.__name__: one for one in ERRORS}
            raised = known.get(found["raised"], FinetuneFailed)(found["message"])
        else:
            sys.stderr.write(line)
            if raised is None and (error := ERROR.search(line)):
                raised = FinetuneFailed(f"A process of the fine-tune failed: {error[1][:500]}")
        if job.asked_to_stop():
            stop.touch()
    return raised


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _to_dict(job: Job) -> dict[str, Any]:
    return {
        "data": str(job.data.resolve()),
        "out": str(job.out.resolve()),
        "config": job.config.to_dict(),
        "base": job.base,
        "processes": job.processes,
        "checkpoint": str(job.checkpoint.resolve()) if job.checkpoint else None,
        # Clocks of processes need not agree.
        "seconds": job.until - time.monotonic() if job.until else None,
    }


def _from_dict(found: dict[str, Any], stop: Path) -> Job:
    return Job(
        data=Path(found["data"]),
        out=Path(found["out"]),
        config=FinetuneConfig.from_dict(found["config"]),
        base=found["base"],
        processes=found["processes"],
        checkpoint=Path(found["checkpoint"]) if found["checkpoint"] else None,
        until=time.monotonic() + found["seconds"] if found["seconds"] else None,
        tell=lambda progress: print(progress.to_json(), flush=True),  # noqa: T201
        asked_to_stop=stop.exists,
    )


def main(path: Path) -> int:
    """One of the processes."""
    job = _from_dict(json.loads(path.read_bytes()), path.with_name(STOP))
    try:
        train(job, here=True)
    except PromptlyError as error:
        told = {"raised": type(error).__name__, "message": error.message}
        print(json.dumps(told), flush=True)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
