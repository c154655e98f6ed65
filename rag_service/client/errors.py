"""What a client raises.

ClientError
├── ServiceAway             nothing answers at the address, or it broke off
└── ServiceError            the service answered that it cannot be done
    ├── InvalidInput        400, 413, 422
    ├── Unauthorized        401
    ├── Forbidden           403
    ├── NotFound            404
    ├── Conflict            409
    ├── TooManyRequests     429
    └── Unavailable         503
"""

from __future__ import annotations

import httpx


class ClientError(Exception):
    """Its text is one clear sentence."""


class ServiceAway(ClientError):
    """The service does not answer; the message says where it was looked for."""


class ServiceError(ClientError):
    """A problem (RFC 9457): `detail` is the sentence, `field` what of the request it is about,
    `request_id` what the service's log knows it by, `retry_after_s` when to come back."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        field: str | None = None,
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.field = field
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class InvalidInput(ServiceError):
    pass


class Unauthorized(ServiceError):
    pass


class Forbidden(ServiceError):
    pass


class NotFound(ServiceError):
    pass


class Conflict(ServiceError):
    pass


class TooManyRequests(ServiceError):
    pass


class Unavailable(ServiceError):
    pass


KINDS: dict[int, type[ServiceError]] = {
    400: InvalidInput,
    413: InvalidInput,
    422: InvalidInput,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: TooManyRequests,
    503: Unavailable,
}


def from_problem(problem: dict[str, object], *, retry_after_s: float | None = None) -> ServiceError:
    """Raises KeyError, TypeError, ValueError for what is no problem."""
    status = int(str(problem["status"]))
    field = problem.get("field")
    return KINDS.get(status, ServiceError)(
        status,
        str(problem["title"]),
        str(problem["detail"]),
        field=None if field is None else str(field),
        request_id=str(problem.get("request_id", "")),
        retry_after_s=retry_after_s,
    )


def from_response(response: httpx.Response) -> ServiceError:
    """The error that a read response is; also of something else that stands before the service."""
    status, wait = response.status_code, retry_after(response)
    try:
        return from_problem({**response.json(), "status": status}, retry_after_s=wait)
    except (ValueError, KeyError, TypeError):
        return KINDS.get(status, ServiceError)(
            status, response.reason_phrase, "The service gave no reason.", retry_after_s=wait
        )


def retry_after(response: httpx.Response) -> float | None:
    """In seconds, as Promptly sends it; HTTP's other form, a date, is none."""
    given = response.headers.get("retry-after", "")
    return float(given) if given.isascii() and given.isdigit() else None
