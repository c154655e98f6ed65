"""An account on Kaggle, where nothing fails: datasets take a while to be processed, and kernels
really run the notebook that was pushed, in a clean environment."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbclient

Json = dict[str, Any]
OWNER, KEY, TOKEN = "anna", "secret-key", "KGAT_secret"
GPU_SESSIONS = 2
PAGE = 20
WITHOUT_NAMES = """
import socket
real = socket.getaddrinfo
def getaddrinfo(host, *more, **named):
    if host in ("localhost", "127.0.0.1", "::1", None, ""):
        return real(host, *more, **named)
    raise socket.gaierror(-3, "Temporary failure in name resolution")
socket.getaddrinfo = getaddrinfo
"""
OLD = {
    "QUEUED": "queued", "RUNNING": "running", "COMPLETE": "complete", "ERROR": "error",
    "CANCEL_ACKNOWLEDGED": "cancelAcknowledged", "CANCEL_REQUESTED": "cancelRequested",
}  # fmt: skip


class Answered(Exception):
    """An answer that is none of JSON with status 200; `content` None ends the connection."""

    def __init__(self, status: int, content: bytes | None, kind: str = "text/html") -> None:
        self.status, self.content, self.kind = status, content, kind


Fault = Callable[[Callable[[], Json]], Json]
"""Is asked in place of what it is given, which it may ask."""


def refused(status: int, message: str) -> Answered:
    body = json.dumps({"code": status, "message": message}).encode()
    return Answered(status, body, "application/json")


@dataclass
class Dataset:
    files: dict[str, bytes]
    version: int = 1
    reads_left: int = 0
    """Of its status, before it is processed."""

    @property
    def ready(self) -> bool:
        return not self.reads_left


@dataclass
class Kernel:
    folder: Path
    request: Json
    versions: int = 1
    process: subprocess.Popen[bytes] | None = None
    cancelled: bool = False
    reads_left: int = 0
    """Of whatever is asked about it, while it is too new to be seen."""
    queued_left: int = 0

    @property
    def status(self) -> str:
        if self.cancelled:
            return "CANCEL_ACKNOWLEDGED"
        if self.queued_left > 0:
            return "QUEUED"
        assert self.process
        code = self.process.poll()
        return "RUNNING" if code is None else "ERROR" if code else "COMPLETE"

    @property
    def over(self) -> bool:
        return self.status in ("COMPLETE", "ERROR", "CANCEL_ACKNOWLEDGED")

    def log(self) -> list[Json]:
        path = self.folder / "log.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def outputs(self) -> list[Path]:
        working = self.folder / "working"
        return sorted(path for path in working.rglob("*") if path.is_file())

    def end(self) -> None:
        if self.process and self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass
class State:
    """`faults` are spent one a request of that method; the rest is as on Kaggle where nothing is
    set."""

    folder: Path
    faults: defaultdict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    at: dict[int, Fault] = field(default_factory=dict)
    """The same, of the request that comes after so many."""
    asked: list[tuple[str, Json]] = field(default_factory=list)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    kernels: dict[str, Kernel] = field(default_factory=dict)
    blobs: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    processing: int = 1
    unseen: int = 0
    queued: int = 0
    old_spelling: bool = False
    internet: bool = True
    """False: the account's phone is not verified."""
    new_mount: bool = False
    """Inputs at input/datasets/<owner>/<slug> and not at input/<slug>."""
    mounts: dict[str, Path] = field(default_factory=dict)
    """Folders that every kernel finds among its inputs, as it would models."""
    outputs: dict[str, bytes] = field(default_factory=dict)
    """Listed beside what the kernel left."""
    hours_used: float = 3.5
    hours_allowed: float = 30
    url: str = ""
    command: list[str] | None = None
    """Runs in place of the notebook, in its working folder."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def count(self, method: str) -> int:
        return sum(1 for name, _ in self.asked if name == method)


class Account:
    """What each method does."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.lock = state.lock

    def IntrospectToken(self, body: Json) -> Json:
        return {"active": True, "username": OWNER} if body["token"] == TOKEN else {"active": False}

    def GetAcceleratorQuotaStatistics(self, _: Json) -> Json:
        used, allowed = self.state.hours_used, self.state.hours_allowed
        gpu = {"timeUsed": f"{used * 3600:.0f}s", "totalTimeAllowed": f"{allowed * 3600:.0f}s"}
        return {"quotaRefreshTime": "2026-11-28T00:00:00.000Z", "gpuQuota": gpu}

    def StartBlobUpload(self, body: Json) -> Json:
        with self.lock:
            token = f"blob-{len(self.state.blobs)}"
            self.state.blobs[token] = (body["name"], b"")
        return {"token": token, "createUrl": f"{self.state.url}/blob/{token}"}

    def CreateDataset(self, body: Json) -> Json:
        slug = body["slug"]
        if not 6 <= len(slug) <= 50 or body["ownerSlug"] != OWNER:
            return {"status": "error", "error": "The slug must be between 6 and 50 characters"}
        if slug in self.state.datasets:
            return {"status": "error", "error": f"The requested title {slug!r} is already in use"}
        self.state.datasets[slug] = Dataset(self._files(body), reads_left=self.state.processing)
        return {"status": "ok", "ref": f"{OWNER}/{slug}", "url": f"{self.state.url}/{slug}"}

    def CreateDatasetVersion(self, body: Json) -> Json:
        found = self._dataset(body)
        if not found.ready:
            raise refused(403, "Permission 'datasets.update' was denied")
        found.files, found.version = self._files(body["body"]), found.version + 1
        found.reads_left = self.state.processing
        return {"status": "ok", "ref": f"{OWNER}/{body['datasetSlug']}"}

    def GetDatasetStatus(self, body: Json) -> Json:
        found = self._dataset(body)
        if found.ready:
            return {"status": "READY"}
        found.reads_left -= 1
        return {"status": "BLOBS_RECEIVED"}

    def ListDatasetFiles(self, body: Json) -> Json:
        files = self._dataset(body).files.items()
        return {"datasetFiles": [{"name": name, "totalBytes": len(one)} for name, one in files]}

    def DownloadDataset(self, body: Json) -> Json:
        content = self._dataset(body).files[body["fileName"]]
        raise Answered(200, content, "application/octet-stream")

    def DeleteDataset(self, body: Json) -> Json:
        self._dataset(body)
        del self.state.datasets[body["datasetSlug"]]
        return {}

    def SaveKernel(self, body: Json) -> Json:
        owner, _, slug = body["slug"].partition("/")
        text = json.loads(body["text"])
        if owner != OWNER:
            raise refused(403, "Permission 'kernels.create' was denied")
        if "kernelspec" not in text["metadata"]:
            return {"error": "Notebook has no kernelspec"}
        with self.lock:
            running = [one for one in self.state.kernels.values() if not one.over]
            if len(running) >= GPU_SESSIONS:
                return {"error": "Maximum batch GPU session count of 2 reached."}
            if self.state.hours_used >= self.state.hours_allowed:
                return {"error": "You have exceeded your weekly GPU quota."}
            earlier = self.state.kernels.get(slug)
            version = earlier.versions + 1 if earlier else 1
            kernel = Kernel(
                self.state.folder / slug / str(version), body, version,
                reads_left=self.state.unseen, queued_left=self.state.queued,
            )  # fmt: skip
            self.state.kernels[slug] = kernel
            invalid = self._start(kernel, text)
        number = len(self.state.kernels)
        answer = {"ref": f"/code/{OWNER}/{slug}", "versionNumber": version, "kernelId": number}
        return {**answer, **({"invalidDatasetSources": invalid} if invalid else {})}

    def GetKernel(self, body: Json) -> Json:
        found = self.kernel(body)
        slug = body["kernelSlug"]
        return {"metadata": {"ref": f"{OWNER}/{slug}", "currentVersionNumber": found.versions}}

    def GetKernelSessionStatus(self, body: Json) -> Json:
        found = self.kernel(body)
        status = found.status
        found.queued_left = max(0, found.queued_left - 1)
        failed = {"failureMessage": "Your notebook failed."} if status == "ERROR" else {}
        return {"status": OLD[status] if self.state.old_spelling else status, **failed}

    def ListKernels(self, body: Json) -> Json:
        names = [name for name in self.state.kernels if body.get("search", "") in name]
        return {"kernels": [{"ref": f"{OWNER}/{name}"} for name in names]}

    def ListKernelSessionOutput(self, body: Json) -> Json:
        kernel = self.kernel(body)
        if not kernel.over:
            return {}
        working = kernel.folder / "working"
        names = [path.relative_to(working).as_posix() for path in kernel.outputs()]
        names += list(self.state.outputs)
        first = int(body.get("pageToken") or 0)
        size = min(body.get("pageSize") or PAGE, PAGE)
        slug = body["kernelSlug"]
        some = [
            {"fileName": name, "url": f"{self.state.url}/output/{slug}/{name}"}
            for name in names[first : first + size]
        ]
        more = {"nextPageToken": str(first + size)} if first + size < len(names) else {}
        return {"files": some, "log": json.dumps(kernel.log()), **more}

    def DeleteKernel(self, body: Json) -> Json:
        self.kernel(body, seen=True).end()
        del self.state.kernels[body["kernelSlug"]]
        return {}

    def kernel(self, body: Json, *, seen: bool = False) -> Kernel:
        found = self.state.kernels.get(body["kernelSlug"])
        if found is None or (found.reads_left and not seen):
            if found:
                found.reads_left -= 1
            raise refused(403, "Permission 'kernels.get' was denied")
        return found

    def _dataset(self, body: Json) -> Dataset:
        found = self.state.datasets.get(body["datasetSlug"])
        if found is None:
            raise refused(403, "Permission 'datasets.get' was denied")
        return found

    def _files(self, body: Json) -> dict[str, bytes]:
        return dict(self.state.blobs[one["token"]] for one in body["files"])

    def _start(self, kernel: Kernel, notebook: Json) -> list[str]:
        """Runs it with the datasets that are there; returns those that are not."""
        working = kernel.folder / "working"
        working.mkdir(parents=True)
        (kernel.folder / "input").mkdir()
        missing = []
        for source in kernel.request.get("datasetDataSources", []):
            owner, _, slug = source.partition("/")
            found = self.state.datasets.get(slug)
            if found is None or not found.ready:
                missing.append(source)
                continue
            place = f"datasets/{owner}/{slug}" if self.state.new_mount else slug
            _mount(found.files, kernel.folder / "input" / place)
        for name, folder in self.state.mounts.items():
            shutil.copytree(folder, kernel.folder / "input" / name)
        self._run(kernel, notebook)
        return missing

    def _run(self, kernel: Kernel, notebook: Json) -> None:
        (kernel.folder / "notebook.ipynb").write_text(json.dumps(notebook), "utf-8")
        internet = self.state.internet and kernel.request.get("enableInternet", True)
        python = Path(sys.executable)
        if self.state.command is None:
            python = environment(kernel.folder / "venv", internet=internet)
        given = {
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "HOME": str(kernel.folder),
            "KAGGLE_KERNEL_RUN_TYPE": "Batch",
            "PROMPTLY_KAGGLE": str(kernel.folder),
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        script = Path(__file__).with_name("kaggle_session.py")
        names = [str(kernel.folder / name) for name in ("notebook.ipynb", "working", "log.jsonl")]
        with (kernel.folder / "stderr").open("wb") as errors:
            kernel.process = subprocess.Popen(
                self.state.command or [python, script, *names],
                cwd=kernel.folder / "working",
                env=given,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )


def _mount(files: dict[str, bytes], folder: Path) -> None:
    """Archives as folders, as Kaggle has them."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        path = folder / name
        path.write_bytes(content)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder / path.stem)
            path.unlink()


def environment(folder: Path, *, internet: bool) -> Path:
    """A clean one, with what is installed here but not the project; returns its Python."""
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", folder], check=True, capture_output=True
    )
    [packages] = folder.glob("lib/python*/site-packages")
    # As a path alone: what points from there to the project's checkout is not followed.
    (packages / "image.pth").write_text(str(Path(nbclient.__file__).parents[1]) + "\n")
    if not internet:
        (packages / "sitecustomize.py").write_text(WITHOUT_NAMES)
    return folder / "bin" / "python"
