"""How much at once and how often: a rate for each caller, a bounded room for what is worked on, and
quick refusals before the waiting gets long. In memory, so that a decision costs microseconds: each
process counts for itself."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Literal

from model_pipeline.domain import Caller
from model_pipeline.errors import TooManyRequests, Unavailable

WINDOW_S = 60.0
CALLERS = 10_000
"""Buckets kept; the one unused for longest, and so the fullest, is forgotten first."""
# A burst may wait long, a crowd that stays may not, or everybody would: "Fail at Scale", ACM Queue
# 13 (8), 2015, where it is called controlled delay.
PATIENCE_S = 3.0
SHORT_PATIENCE_S = 0.4
BURST_S = 0.5
WAITING_PER_PLACE = 16
BUSY = "Too many requests are under way: try again shortly."


@dataclass(frozen=True, slots=True)
class Kind:
    """What a route takes: units of the caller's rate, a place in a room, and whether its work ends
    with the client's connection. (What runs in a thread, an ingest for one, runs to its end.)"""

    cost: int = 1
    room: Literal["short", "answers"] | None = "short"
    stops: bool = False


SEARCH, ANSWER = Kind(stops=True), Kind(cost=5, room="answers", stops=True)
OTHER = Kind()
KINDS = {
    ("POST", "/v1/search"): SEARCH,
    ("POST", "/v1/embeddings"): SEARCH,
    ("POST", "/v1/answers"): ANSWER,
    ("POST", "/v1/chat/completions"): ANSWER,
    # These take turns of their own, minutes long.
    ("POST", "/v1/documents"): Kind(cost=10, room=None),
}


@dataclass(frozen=True, slots=True)
class Limits:
    body_bytes: int = 1_000_000
    upload_bytes: int = 50_000_000
    request_timeout_s: float = 30.0
    concurrency: int = 200
    """Requests under way at once; more are told to come back."""
    searches_at_once: int = 8
    """Worked on at once, with whatever else is short; more wait."""
    answers_at_once: int = 8
    """The same of answers."""
    waiting_uploads: int = 8
    """Ingested one at a time, each held in memory until its turn."""
    rate_per_minute: int | None = None
    """Units of cost for each caller; None is no limit."""
    concurrency_per_caller: int | None = None
    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")


@dataclass(slots=True)
class Drain:
    """Set when the process is about to end: it answers, and asks for no more."""

    begun: bool = False


class Rates:
    """A token bucket for each caller: `per_minute` units at most, refilled within a minute."""

    def __init__(
        self,
        per_minute: int,
        *,
        callers: int = CALLERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_minute = per_minute
        self._callers = callers
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, caller: str, cost: int) -> tuple[bool, int, float]:
        """Whether `cost` units were there and are now taken, how many are left, and the seconds
        until the bucket is full or, where they were not there, until they are."""
        now = self._clock()
        each = WINDOW_S / self._per_minute
        before = max(self._full_at.get(caller, now), now)
        after = before + min(cost, self._per_minute) * each
        taken = after - now <= WINDOW_S + 1e-6
        if taken:
            self._full_at[caller] = after
            self._full_at.move_to_end(caller)
            if len(self._full_at) > self._callers:
                self._full_at.popitem(last=False)
        left = int((WINDOW_S - ((after if taken else before) - now)) / each + 1e-6)
        return taken, left, after - now if taken else after - now - WINDOW_S

    def __len__(self) -> int:
        return len(self._full_at)


class Room:
    """`places` requests are worked on at once. Others wait: the first comers first, a bounded
    number of them, each for a bounded time."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._most_waiting = WAITING_PER_PLACE * places
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._nobody_waited_at = 0.0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def enter(self) -> None:
        """Raises Unavailable, at once or after PATIENCE_S at most."""
        if self._free:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        if not self._waiting:
            self._nobody_waited_at = now
        if len(self._waiting) >= self._most_waiting:
            raise Unavailable(BUSY, retry_after_s=1)
        burst = now - self._nobody_waited_at < BURST_S
        turn = loop.create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(PATIENCE_S if burst else SHORT_PATIENCE_S):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.leave()  # the place came together with the reason to go
            with suppress(ValueError):
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise Unavailable(BUSY, retry_after_s=1) from error
            raise

    def leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Admission:
    """Lets the requests of one process in."""

    def __init__(self, limits: Limits) -> None:
        self.rooms = {
            "short": Room(limits.searches_at_once),
            "answers": Room(limits.answers_at_once),
        }
        self.rates = Rates(limits.rate_per_minute) if limits.rate_per_minute else None
        self.policy = b'"caller";q=%d;w=%d' % (limits.rate_per_minute or 0, WINDOW_S)
        self.most_per_caller = limits.concurrency_per_caller
        self.under_way: Counter[str] = Counter()


@dataclass(slots=True)
class Visit:
    """One request, from its first byte to its last: what it was let in with, and gives back."""

    admission: Admission
    kind: Kind
    request_id: str
    address: str
    caller: str | None = None
    """The id of who asks, where it is somebody."""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """What the reply tells of the caller's rate."""
    _room: Room | None = None
    _key: str | None = None

    @property
    def alias(self) -> str | None:
        """Who asks, for the log: whoever knows an id finds it, and it tells no id."""
        return self.caller and sha256(self.caller.encode()).hexdigest()[:12]

    async def enter(self) -> None:
        """Take a place: before it is known who asks, since to find out may take the database.
        Raises Unavailable where it is too full."""
        if self.kind.room is not None and self._room is None:
            room = self.admission.rooms[self.kind.room]
            await room.enter()
            self._room = room

    def charge(self, caller: Caller | None) -> None:
        """Take the request's cost off the caller's rate. Raises TooManyRequests."""
        self.caller = str(caller.claims["sub"]) if caller and "sub" in caller.claims else None
        key = self.caller or network(self.address)
        admission = self.admission
        if admission.rates is not None:
            taken, left, seconds = admission.rates.take(key, self.kind.cost)
            self.headers = [
                (b"ratelimit-policy", admission.policy),
                (b"ratelimit", b'"caller";r=%d;t=%d' % (left, math.ceil(seconds))),
            ]
            if not taken:
                raise TooManyRequests(
                    "You have asked more than your share of a minute: try again after the seconds "
                    "in Retry-After.",
                    retry_after_s=max(1, math.ceil(seconds)),
                )
        if admission.most_per_caller is not None and self._key is None:
            if admission.under_way[key] >= admission.most_per_caller:
                raise TooManyRequests(
                    f"{admission.most_per_caller} of your requests are under way, which is as many "
                    "as one may have: wait for one to end."
                )
            admission.under_way[key] += 1
            self._key = key

    def leave(self) -> None:
        if self._room is not None:
            self._room.leave()
            self._room = None
        if self._key is not None:
            under_way = self.admission.under_way
            under_way[self._key] -= 1
            if not under_way[self._key]:
                del under_way[self._key]
            self._key = None


def network(address: str) -> str:
    """Of an IPv6 address its /64, which is one household's: it could ask from any of it."""
    with suppress(ValueError):
        found = ip_address(address)
        if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
            return str(IPv6Network((found, 64), strict=False))
    return address
