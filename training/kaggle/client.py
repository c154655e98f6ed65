"""Kaggle, as far as a run needs it: datasets, kernels, their status, logs and files, the quota.

Speaks through Kaggle's own kagglesdk (extra `train`), and looks at every field by which Kaggle
tells that it did not do what it answered 200 to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from model_pipeline.errors import ConfigurationError, InvalidInput, PromptlyError
from training.kaggle.wire import (
    KaggleAway,
    KaggleDenied,
    Patience,
    absent_is_fine,
    bound,
    named,
    sdk,
)
from training.kaggle.wire import ask as wire_ask

if TYPE_CHECKING:
    pass

Status = Literal["queued", "running", "complete", "error", "cancelled"]
DatasetStatus = Literal["absent", "processing", "ready", "failed"]
PREFIX = "promptly-"
ACCELERATOR = "NvidiaTeslaT4"  # two of them
LONGEST_S = 12 * 3600  # of a kernel
STATUSES: dict[str, Status] = {
    "NEW_SCRIPT": "queued",
    "QUEUED": "queued",
    "RUNNING": "running",
    "COMPLETE": "complete",
    "ERROR": "error",
    "CANCEL_REQUESTED": "cancelled",
    "CANCEL_ACKNOWLEDGED": "cancelled",
}


@dataclass(frozen=True, slots=True)
class Quota:
    """Hours of GPU in this week."""

    used: float
    allowed: float
    refresh_at: datetime | None

    @property
    def left(self) -> float:
        return max(0.0, self.allowed - self.used)

    def to_row(self) -> dict[str, Any]:
        at = self.refresh_at
        return {"used": self.used, "allowed": self.allowed, "refresh_at": at and at.isoformat()}


class PushRefused(PromptlyError):
    """`passing`: the same push may work later. `runs`: Kaggle runs it all the same, without a
    part."""

    def __init__(self, message: str, *, passing: bool, runs: bool = False) -> None:
        super().__init__(message)
        self.passing = passing
        self.runs = runs


class Kaggle:
    """Of one account. Raises KaggleAway, KaggleDenied, ConfigurationError for a key that is not
    taken."""

    def __init__(
        self,
        *,
        token: str | None = None,
        username: str | None = None,
        key: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        kaggle = sdk()
        self.patience = patience or Patience()
        if not token and not (username and key):
            raise ConfigurationError(
                "Kaggle needs KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY: set them, from "
                "your account's settings on kaggle.com."
            )
        named = {"api_token": token} if token else {"username": username, "password": key}
        self._client = kaggle.KaggleClient(user_agent="promptly", **named)
        bound(self._client, self.patience.request_s)
        self.user = username if username and not token else self._introspected(token or "")

    def _introspected(self, token: str) -> str:
        from kagglesdk.security.types.oauth_service import IntrospectTokenRequest

        request = IntrospectTokenRequest()
        request.token = token
        found = self.ask(self._client.security.oauth_client.introspect_token, request)
        if not (found.active and found.username):
            raise ConfigurationError("Kaggle does not take KAGGLE_API_TOKEN: make another.")
        return str(found.username)

    # Quota

    def quota(self) -> Quota | None:
        """None where Kaggle does not tell."""
        found = self.ask(self.kernels_api.get_accelerator_quota_statistics)
        gpu = found.gpu_quota
        if gpu is None or gpu.total_time_allowed is None:
            return None
        used = gpu.time_used.total_seconds() if gpu.time_used else 0.0
        reserved = gpu.time_reserved.total_seconds() if gpu.time_reserved else 0.0
        return Quota(
            (used + reserved) / 3600,
            gpu.total_time_allowed.total_seconds() / 3600,
            found.quota_refresh_time,
        )

    # Datasets

    def dataset_status(self, slug: str) -> DatasetStatus:
        from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetStatusRequest

        request = named(ApiGetDatasetStatusRequest(), owner_slug=self.user, dataset_slug=slug)
        try:
            status = self.ask(self.datasets_api.get_dataset_status, request).status.name
        except KaggleDenied:
            return "absent"
        known: dict[str, DatasetStatus] = {
            "READY": "ready", "FAILED": "failed", "DELETED": "absent",
        }  # fmt: skip
        return known.get(status, "processing")

    def dataset_files(self, slug: str) -> dict[str, int]:
        """Names and sizes, as Kaggle has them."""
        from kagglesdk.datasets.types.dataset_api_service import ApiListDatasetFilesRequest

        request = named(
            ApiListDatasetFilesRequest(), owner_slug=self.user, dataset_slug=slug, page_size=200
        )
        found: dict[str, int] = {}
        while True:
            page = self.ask(self.datasets_api.list_dataset_files, request)
            found |= {one.name: one.total_bytes for one in page.dataset_files or []}
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    def put_dataset(self, slug: str, files: Sequence[Path], *, again: bool) -> None:
        """A private dataset of these files, or with `again` its next version. Raises KaggleDenied
        where its last version is still processed."""
        from kagglesdk.datasets.types.dataset_api_service import (
            ApiCreateDatasetRequest,
            ApiCreateDatasetVersionRequest,
            ApiCreateDatasetVersionRequestBody,
            ApiDatasetNewFile,
        )

        uploaded = [named(ApiDatasetNewFile(), token=self._upload(path)) for path in files]
        if again:
            body = named(
                ApiCreateDatasetVersionRequestBody(), files=uploaded, version_notes="again",
                delete_old_versions=True,
            )  # fmt: skip
            request: Any = named(
                ApiCreateDatasetVersionRequest(),
                owner_slug=self.user, dataset_slug=slug, body=body,
            )  # fmt: skip
            answer = self.ask(self.datasets_api.create_dataset_version, request, once=True)
        else:
            request = named(
                ApiCreateDatasetRequest(), owner_slug=self.user, slug=slug, title=slug,
                license_name="other", is_private=True, files=uploaded,
            )  # fmt: skip
            answer = self.ask(self.datasets_api.create_dataset, request, once=True)
        if answer.error or (answer.status or "").lower() != "ok":
            said = answer.error or f"status {answer.status!r}"
            raise KaggleAway(f"Kaggle did not make the dataset {slug}: {said}")

    def _upload(self, path: Path) -> str:
        """Returns the token by which a dataset takes the file."""
        from kagglesdk.blobs.types.blob_api_service import ApiBlobType, ApiStartBlobUploadRequest

        request = named(
            ApiStartBlobUploadRequest(), type=ApiBlobType.DATASET, name=path.name,
            content_length=path.stat().st_size,
        )  # fmt: skip

        import requests

        def send(_: Any) -> str:
            started = self._client.blobs.blob_api_client.start_blob_upload(request)
            with path.open("rb") as file:
                # Another session: the address carries its own right, and takes no other.
                answer = requests.put(
                    started.create_url, data=file, timeout=self.patience.request_s
                )
            answer.raise_for_status()
            return str(started.token)

        token: str = self.ask(send)
        return token

    # Kernels

    def push(self, slug: str, notebook: dict[str, Any], *, limit_s: float) -> int:
        """Run the notebook with the dataset of the same slug; returns its version. Raises
        PushRefused, or KaggleAway where it may have been taken."""
        from kagglesdk.kernels.types.kernels_api_service import ApiSaveKernelRequest

        source = f"{self.user}/{slug}"
        request = named(
            ApiSaveKernelRequest(),
            slug=source,
            new_title=slug,  # Kaggle makes the slug of the title
            text=json.dumps(as_pushed(notebook)),
            language="python",
            kernel_type="notebook",
            is_private=True,
            enable_gpu=True,
            enable_tpu=False,
            enable_internet=True,  # for the base model; Kaggle's default differs with the client
            machine_shape=ACCELERATOR,
            session_timeout_seconds=min(int(limit_s), LONGEST_S),
            dataset_data_sources=[source],
        )
        answer = self.ask(self.kernels_api.save_kernel, request, once=True)
        _require_taken(answer)
        return int(answer.version_number)

    def pushed_version(self, slug: str) -> int | None:
        """None where there is no such kernel, or it is too new to be seen."""
        from kagglesdk.kernels.types.kernels_api_service import ApiGetKernelRequest

        request = named(ApiGetKernelRequest(), user_name=self.user, kernel_slug=slug)
        try:
            metadata = self.ask(self.kernels_api.get_kernel, request).metadata
        except KaggleDenied:
            return None
        return int(metadata.current_version_number or 1) if metadata else None

    def status(self, slug: str) -> tuple[Status, str]:
        """Of the newest run of the kernel, with what Kaggle says where it failed."""
        from kagglesdk.kernels.types.kernels_api_service import ApiGetKernelSessionStatusRequest

        request = named(ApiGetKernelSessionStatusRequest(), user_name=self.user, kernel_slug=slug)
        found = self.ask(self.kernels_api.get_kernel_session_status, request)
        return STATUSES[found.status.name], found.failure_message or ""

    def kernels(self) -> list[str]:
        """Slugs of the account's kernels that a run of ours may have."""
        from kagglesdk.kernels.types.kernels_api_service import ApiListKernelsRequest
        from kagglesdk.kernels.types.kernels_enums import KernelsListViewType

        request = named(
            ApiListKernelsRequest(), group=KernelsListViewType.PROFILE, user=self.user,
            search=PREFIX, page_size=100,
        )  # fmt: skip
        found: list[str] = []
        while True:
            page = self.ask(self.kernels_api.list_kernels, request)
            found += [one.ref.rpartition("/")[2] for one in page.kernels or []]
            if not page.next_page_token:
                return [slug for slug in found if slug.startswith(PREFIX)]
            request.page_token = page.next_page_token

    def delete(self, slug: str) -> None:
        """Kernel and dataset: frees the slot and what is left of the quota. What is not there is
        no error."""
        from kagglesdk.datasets.types.dataset_api_service import ApiDeleteDatasetRequest

        self.delete_kernel(slug)
        request = named(ApiDeleteDatasetRequest(), owner_slug=self.user, dataset_slug=slug)
        with absent_is_fine():
            answer = self.ask(self.datasets_api.delete_dataset, request)
            if answer.error:
                raise KaggleAway(f"Kaggle did not delete the dataset {slug}: {answer.error}")

    def delete_kernel(self, slug: str) -> None:
        from kagglesdk.kernels.types.kernels_api_service import ApiDeleteKernelRequest

        request = named(ApiDeleteKernelRequest(), user_name=self.user, kernel_slug=slug)
        with absent_is_fine():
            answer = self.ask(self.kernels_api.delete_kernel, request)
            if answer.error_message:
                raise KaggleAway(f"Kaggle did not delete the kernel {slug}: {answer.error_message}")

    # How it is asked

    @property
    def kernels_api(self) -> Any:
        return self._client.kernels.kernels_api_client

    @property
    def datasets_api(self) -> Any:
        return self._client.datasets.dataset_api_client

    def ask(self, call: Callable[[Any], Any], request: Any = None, *, once: bool = False) -> Any:
        return wire_ask(call, request, self.patience, once=once)


def as_pushed(notebook: dict[str, Any]) -> dict[str, Any]:
    """Without outputs, and each cell's source as one text, as Kaggle takes it. Raises
    InvalidInput for one without a kernel, which Kaggle would not run."""
    if not notebook.get("metadata", {}).get("kernelspec"):
        raise InvalidInput(
            "The notebook names no kernel (metadata.kernelspec): save it in Jupyter."
        )
    cells = []
    for cell in notebook["cells"]:
        source = cell["source"]
        kept = {**cell, "source": source if isinstance(source, str) else "".join(source)}
        if cell["cell_type"] == "code":
            kept |= {"outputs": [], "execution_count": None}
        cells.append(kept)
    return {**notebook, "cells": cells}


def _require_taken(answer: Any) -> None:
    """Every field by which Kaggle says that a push it answered 200 to is not what was asked."""
    if answer.error:
        busy = ("session count", "quota", "try again", "too many", "temporarily", "not ready")
        passing = any(word in answer.error.lower() for word in busy)
        raise PushRefused(f"Kaggle refused the notebook: {answer.error}", passing=passing)
    for what in ("dataset", "kernel", "competition", "model"):
        if sources := getattr(answer, f"invalid_{what}_sources"):
            raise PushRefused(
                f"Kaggle ran the notebook without its {what} {', '.join(sources)}.",
                passing=True,
                runs=True,
            )
    if answer.invalid_tags:
        raise PushRefused(
            f"Kaggle does not know the tags {answer.invalid_tags}.", passing=False, runs=True
        )
    if not answer.version_number:
        raise KaggleAway("Kaggle answered the push without a version: it may have been taken.")
