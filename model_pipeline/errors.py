"""The exception tree. Each error says what happened and what to do, and the HTTP status it becomes.

PromptlyError
├── InvalidInput            400  what was asked cannot be done as asked
│   └── TooLarge            413  over a stated limit
├── Unauthorized            401  the asker is not who they say, or says nothing
├── Forbidden               403  the asker may see it, but not do this
├── NotFound                404  no such thing, or none that the asker may see
├── Conflict                409  it stands against what is stored
│   └── EmbedderMismatch    409  vectors of another embedder are in the store
├── TooManyRequests         429  more than the asker's share
├── UnreadableDocument      422  a file that its reader cannot read
├── ConfigurationError      500  a setting or the installation is wrong
└── Unavailable             503  a service that is needed does not answer; try again
    ├── ModelUnavailable    503  the language model does not answer
    └── StoreUnavailable    503  the database does not answer
"""

from __future__ import annotations


class PromptlyError(Exception):
    """Root of all errors that Promptly raises on purpose.

    `message` is one clear sentence for the user: what is wrong, where, what to do. `field` names
    what it is about, where that is one field of a request.
    """

    status = 500
    title = "Something went wrong"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class InvalidInput(PromptlyError):
    status = 400
    title = "Invalid input"


class TooLarge(InvalidInput):
    status = 413
    title = "Too large"


class Unauthorized(PromptlyError):
    status = 401
    title = "Not signed in"


class Forbidden(PromptlyError):
    status = 403
    title = "Forbidden"


class NotFound(PromptlyError):
    status = 404
    title = "Not found"


class Conflict(PromptlyError):
    status = 409
    title = "Conflict"


class EmbedderMismatch(Conflict):
    title = "Another embedder made the stored vectors"


class TooManyRequests(PromptlyError):
    """`retry_after_s`: seconds after which trying again makes sense."""

    status = 429
    title = "Too many requests"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnreadableDocument(PromptlyError):
    status = 422
    title = "Unreadable document"


class ConfigurationError(PromptlyError):
    status = 500
    title = "Wrong configuration"


class Unavailable(PromptlyError):
    """`retry_after_s`: seconds after which trying again makes sense."""

    status = 503
    title = "Temporarily unavailable"

    def __init__(self, message: str, *, retry_after_s: int = 2) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ModelUnavailable(Unavailable):
    """`passing` is False where it is this one request that the model refuses."""

    title = "The language model does not answer"

    def __init__(self, message: str, *, passing: bool = True) -> None:
        super().__init__(message)
        self.passing = passing


class StoreUnavailable(Unavailable):
    title = "The database does not answer"
