"""What a run goes through, as one table, and the holding of a run while somebody works on it.

preparing   recorded; its wheel and training data are on their way to Kaggle
pushing     its kernel is being pushed: nobody knows whether Kaggle has it
submitted   Kaggle has it, queued
running     Kaggle runs it
collecting  it ended; what it left is fetched, verified and scored
succeeded   all that is done
published   and it is a version on the Hub
stopped     it came to its time limit and left a checkpoint
failed      with a verdict: `infrastructure` where Kaggle, the network or a quota is to blame
            and the same again may work, `failed` where it is the run itself
cancelled   by who runs the service
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal
from uuid import UUID, uuid4

from model_pipeline.errors import Conflict, Unavailable
from model_pipeline.store.runs import PgRuns, Run, RunHeld, short

Verdict = Literal["infrastructure", "failed"]
START = "preparing"
_GIVEN_UP = {"fail": "failed", "cancel": "cancelled"}
TRANSITIONS: Mapping[str, Mapping[str, str]] = {
    "preparing": {"push": "pushing", **_GIVEN_UP},
    "pushing": {"pushed": "submitted", "refused": "preparing", **_GIVEN_UP},
    "submitted": {"start": "running", "end": "collecting", **_GIVEN_UP},
    "running": {"end": "collecting", **_GIVEN_UP},
    "collecting": {
        "succeed": "succeeded",
        "publish": "published",
        "stop": "stopped",
        **_GIVEN_UP,
    },
    "succeeded": {"publish": "published"},
    "published": {},
    "stopped": {},
    "failed": {},
    "cancelled": {},
}
UNDER_WAY = tuple(state for state, events in TRANSITIONS.items() if "cancel" in events)
ENDED = tuple(state for state in TRANSITIONS if state not in UNDER_WAY)
LEASE_S = 60.0


def after(run: Run, event: str) -> str:
    """The state that `event` leads to. Raises Conflict where it cannot happen now."""
    state = TRANSITIONS[run.state].get(event)
    if state is None:
        raise Conflict(f"Run {short(run.run_id)} is {run.state}: it cannot {event}.")
    return state


class HeldRun:
    """A run that this process works on; `run` is how it stands."""

    def __init__(self, runs: PgRuns, run: Run, worker: UUID, lease_s: float) -> None:
        self._runs = runs
        self._worker = worker
        self._lease_s = lease_s
        self.run = run

    def move(self, event: str, detail: Mapping[str, Any] | None = None, **changes: Any) -> Run:
        """Raises RunHeld where another took it over, Conflict where `event` cannot happen."""
        return self._change(event=event, state=after(self.run, event), detail=detail, **changes)

    def note(self, **changes: Any) -> Run:
        """Changes what is known of it. Raises RunHeld."""
        return self._change(**changes)

    def fail(self, verdict: Verdict, reason: str, **changes: Any) -> Run:
        return self.move("fail", {"verdict": verdict, "reason": reason},
                         verdict=verdict, reason=reason, **changes)  # fmt: skip

    def _change(self, **changes: Any) -> Run:
        self.run = self._runs.change(
            self.run, worker=self._worker, lease_s=self._lease_s, **changes
        )
        return self.run


@contextmanager
def held(runs: PgRuns, run_id: UUID, *, lease_s: float = LEASE_S) -> Iterator[HeldRun]:
    """As long as this process lives and works on it. Raises RunHeld where another does."""
    worker, done = uuid4(), threading.Event()
    run = runs.claim(run_id, worker, lease_s)

    def extend() -> None:
        while not done.wait(lease_s / 3):
            with suppress(Unavailable):
                runs.extend(run_id, worker, lease_s)

    extending = threading.Thread(target=extend, daemon=True)
    extending.start()
    try:
        yield HeldRun(runs, run, worker, lease_s)
    finally:
        done.set()
        extending.join()
        runs.release(run_id, worker)


def cancel(runs: PgRuns, run: Run) -> Run:
    """From whoever holds it: they find out with their next change. Raises Conflict where it has
    ended."""
    while True:
        if run.state in ENDED:
            raise Conflict(
                f"Run {short(run.run_id)} is {run.state} already: there is nothing to cancel."
            )
        try:
            return runs.change(run, worker=None, lease_s=0, event="cancel",
                               state=after(run, "cancel"))  # fmt: skip
        except RunHeld:
            run = runs.get(run.run_id)
