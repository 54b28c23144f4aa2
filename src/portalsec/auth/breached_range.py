"""Leaked passwords asked of a service: the range API of Have I Been Pwned, or any server that speaks it.

https://haveibeenpwned.com/API/v3#SearchingPwnedPasswordsByRange. The first five hex digits of the password's SHA-1
leave this machine, and nothing else of it; the answer lists what hundreds of hashes that begin so go on with. Padding is
asked for, so that the length of the answer does not tell which range it was.

A server that is silent costs few threads and little time: one time limit is over the whole look-up, name, connection and
answer; few are open at once; and after a failure nobody waits for the next half minute.

Standard library only; proxies of the environment are not used.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import re
import socket
import ssl
import threading
import time
import unicodedata
from collections import OrderedDict
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from portalsec.clock import Clock, system_clock
from portalsec.errors import BreachSourceUnavailable, ConfigurationError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["HIBP", "BreachRange"]

HIBP = "https://api.pwnedpasswords.com/range/"

_LINE = re.compile(rb"([0-9A-Fa-f]{35}):([0-9]{1,12})\Z")
_MAX_BODY = 1 << 20  # bytes; a padded range is about 60,000
_LOCAL = {"localhost", "127.0.0.1", "::1"}
_REST = timedelta(seconds=30)
_OPEN = 4  # questions at once; the others wait for a place within the same time limit
_NAMES = threading.BoundedSemaphore(4)  # threads that ask for a name: nothing ends one that hangs


class BreachRange:
    """A server of the range API. Safe for concurrent use.

    Attributes:
        name: how events and messages call it: the server's name.
        local: False: asking is a request, so that no live meter does.
    """

    local = False

    def __init__(
        self,
        url: str = HIBP,
        *,
        timeout: timedelta = timedelta(seconds=2),
        min_count: int = 1,
        cached: int = 64,
        cache_age: timedelta = timedelta(hours=1),
        user_agent: str = "portalsec",
        clock: Clock = system_clock,
        name: str | None = None,
    ) -> None:
        """Nothing is asked yet.

        Args:
            url: what the five digits are put behind. https, but for localhost.
            timeout: of a whole look-up, from the server's name to the end of its answer.
            min_count: how often a password must have leaked.
            cached: how many ranges are kept, about 40 KB each; 0 keeps none.
            cache_age: for how long.
            user_agent: Have I Been Pwned refuses requests without one.

        Raises:
            ConfigurationError: the URL is not one, or is not https; a number is out of range.
        """
        self._secure, self._host, self._port, self._path = _address(url)
        if not timedelta(0) < timeout <= timedelta(minutes=1):
            raise ConfigurationError("BreachRange: timeout goes up to a minute")
        if not 0 <= cached <= 10_000 or cache_age <= timedelta(0) or min_count < 1:
            raise ConfigurationError(
                "BreachRange: cached goes from 0 to 10,000, cache_age is longer than nothing, min_count counts from 1"
            )
        if not re.fullmatch(r"[\x20-\x7e]{1,200}", user_agent) or not user_agent.strip():
            raise ConfigurationError("BreachRange: user_agent is up to 200 printable ASCII characters")
        self.name = name or self._host
        self._timeout = timeout.total_seconds()
        self._min_count = min_count
        self._cached = cached
        self._cache_age = cache_age
        self._user_agent = user_agent
        self._clock = clock
        self._ranges: OrderedDict[str, tuple[datetime, bytes]] = OrderedDict()
        self._lock = threading.Lock()
        self._open = threading.BoundedSemaphore(_OPEN)
        self._failed_at: datetime | None = None
        self._tls = ssl.create_default_context() if self._secure else None

    def contains(self, password: str) -> bool:
        """Whether the server lists the password.

        Raises:
            BreachSourceUnavailable: no answer in time, or one that is not whole, not a range, or not from there, now or
                within the last 30 seconds; the text says which, and nothing of the password.
        """
        text = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
        digest = hashlib.sha1(text, usedforsecurity=False).hexdigest().upper()
        prefix, rest = digest[:5], digest[5:].encode("ascii")
        found = self._kept(prefix)
        if found is None:
            found = self._ask(prefix)
            self._keep(prefix, found)
        return rest in found  # 36 bytes each, whose last is a line end, so that nothing matches across two

    def __repr__(self) -> str:
        return f"BreachRange({self.name!r})"

    # -- the cache --------------------------------------------------------------------------------------------------

    def _kept(self, prefix: str) -> bytes | None:
        now = self._clock()
        with self._lock:
            entry = self._ranges.get(prefix)
            if entry is None:
                return None
            since, found = entry
            if not timedelta(0) <= now - since < self._cache_age:
                del self._ranges[prefix]
                return None
            self._ranges.move_to_end(prefix)
            return found

    def _keep(self, prefix: str, found: bytes) -> None:
        if not self._cached:
            return
        now = self._clock()
        with self._lock:
            self._ranges[prefix] = (now, found)
            self._ranges.move_to_end(prefix)
            while len(self._ranges) > self._cached:
                self._ranges.popitem(last=False)

    # -- the request ------------------------------------------------------------------------------------------------

    def _ask(self, prefix: str) -> bytes:
        deadline = time.monotonic() + self._timeout
        resting = f"{self.name} gave no answer a moment ago, and is asked again {_REST.seconds} s after that"
        if self._resting():
            raise BreachSourceUnavailable(resting)
        if not self._open.acquire(timeout=self._timeout):
            raise BreachSourceUnavailable(f"{self.name} has {_OPEN} questions open already")
        try:
            if self._resting():  # whoever had the place before got no answer
                raise BreachSourceUnavailable(resting)
            return self._answer(prefix, deadline)
        finally:
            self._open.release()

    def _resting(self) -> bool:
        with self._lock:
            since = self._failed_at
        return since is not None and timedelta(0) <= self._clock() - since < _REST

    def _answer(self, prefix: str, deadline: float) -> bytes:
        problem = ""
        try:
            found = _suffixes(self._get(prefix, deadline), self._min_count)
        except _NoAnswer as error:
            problem = str(error)
        except TimeoutError:
            problem = "does not answer in time"
        except (OSError, http.client.HTTPException, ValueError) as error:
            # The class alone: what a server sent has no place in a log.
            problem = f"does not answer ({type(error).__name__})"
        now = self._clock()
        with self._lock:
            self._failed_at = now if problem else None
        if problem:
            raise BreachSourceUnavailable(f"{self.name} {problem}")
        return found

    def _connected(self, deadline: float) -> socket.socket:
        """To the first address that answers; each has its share of what is left of the time."""
        addresses = _addresses(self._host, self._port or (443 if self._secure else 80), deadline)
        problem: OSError = OSError("no address")
        for place, (family, kind, protocol, address) in enumerate(addresses):
            plain = socket.socket(family, kind, protocol)
            try:
                plain.settimeout(_left(deadline) / (len(addresses) - place))
                plain.connect(address)
                plain.settimeout(_left(deadline))  # of the whole handshake
                if self._tls is None:
                    return plain
                return self._tls.wrap_socket(plain, server_hostname=self._host)
            except ssl.SSLError:
                plain.close()
                raise
            except OSError as error:
                plain.close()
                problem = error
        raise problem

    def _get(self, prefix: str, deadline: float) -> bytes:
        connection: http.client.HTTPConnection
        make = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = make(self._host, self._port)
        connected: socket.socket | None = None
        try:
            connected = self._connected(deadline)
            connection.sock = _Deadlined(connected, deadline)
            connection.request(
                "GET",
                self._path + prefix,
                headers={
                    "Add-Padding": "true",
                    "User-Agent": self._user_agent,
                    "Accept": "text/plain",
                    "Connection": "close",
                },
            )
            response = connection.getresponse()
            if response.status != 200:  # a redirection too: who asks elsewhere was sent there by anybody
                raise _NoAnswer(f"answers with status {response.status}")
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise _NoAnswer("sends a compressed answer that nobody asked for")
            if response.length is None and not response.chunked:
                raise _NoAnswer("does not say how long its answer is, so that a cut one would go unnoticed")
            wanted = response.length
            if wanted is not None and wanted > _MAX_BODY:
                raise _NoAnswer("sends too much")
            body = bytearray()
            while part := response.read(1 << 16):
                body += part
                if len(body) > _MAX_BODY:
                    raise _NoAnswer("sends too much")
            if wanted is not None and len(body) != wanted:
                raise _NoAnswer("sends half an answer")
            return bytes(body)
        finally:
            connection.close()
            if connected is not None:
                connected.close()


class _NoAnswer(Exception):
    """What was wrong, as the end of a sentence; nothing of what was sent."""


class _Deadlined(io.RawIOBase):
    """A connected socket, all of whose waiting together ends at one moment. `http.client` needs no more of one.

    It is closed by whoever opened the socket: `http.client` lets go of a connection while its answer is being read.
    """

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        super().__init__()
        self._socket, self._deadline = connected, deadline

    def _wait_less(self) -> None:
        self._socket.settimeout(_left(self._deadline))

    def sendall(self, data: bytes) -> None:
        self._wait_less()
        self._socket.sendall(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._wait_less()
        return self._socket.recv_into(buffer)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def close(self) -> None:
        """Not yet."""


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _addresses(host: str, port: int, deadline: float) -> list[tuple[int, int, int, Any]]:
    """Where a name leads. The system's look-up has no time limit: it runs in a thread that may be left behind."""
    if not _NAMES.acquire(blocking=False):
        raise _NoAnswer("has a name that earlier look-ups still wait for")
    found: list[tuple[int, int, int, Any]] = []
    done = threading.Event()

    def look_up() -> None:
        try:
            with suppress(OSError):
                found.extend(
                    (family, kind, protocol, address)
                    for family, kind, protocol, _, address in socket.getaddrinfo(
                        host, port, type=socket.SOCK_STREAM
                    )
                )
        finally:
            _NAMES.release()
            done.set()

    try:
        threading.Thread(target=look_up, name="portalsec-breach-name", daemon=True).start()
    except RuntimeError:  # no more threads
        _NAMES.release()
        done.set()
    if not done.wait(max(0.0, deadline - time.monotonic())):
        raise _NoAnswer("has a name that is not looked up in time")
    if not found:
        raise _NoAnswer("has a name that leads nowhere")
    return found


def _suffixes(body: bytes, min_count: int) -> bytes:
    """The listed suffixes, upper case, each with a line end; padding and what is too rare left out."""
    found = []
    for line in body.split(b"\n"):
        line = line.removesuffix(b"\r")  # noqa: PLW2901
        if not line:
            continue
        match = _LINE.match(line)
        if match is None:
            raise _NoAnswer("answers with something else than a range")
        if int(match[2]) >= min_count:  # padding has the count 0
            found.append(match[1].upper())
    if not body.strip():
        raise _NoAnswer("answers with nothing")
    return b"".join(suffix + b"\n" for suffix in found)


def _address(url: str) -> tuple[bool, str, int | None, str]:
    problem = None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, problem = None, None, "is no URL"
    if problem is None:
        if parts.scheme not in {"http", "https"} or not host:
            problem = "is no URL of a server"
        elif parts.scheme == "http" and host not in _LOCAL:
            problem = "goes over the network unencrypted"
        elif "@" in parts.netloc or parts.query or parts.fragment:
            problem = "has a user name, a query or a fragment"
        elif not re.fullmatch(r"[!-~]*", parts.path) or not re.fullmatch(r"[a-z0-9.:\-]+", host):
            problem = "has characters that a URL does not have"
    if problem is not None or host is None:
        # Not printed: it may hold a password.
        raise ConfigurationError(f"the URL of a breach range server {problem}: write one such as {HIBP}")
    path = parts.path if parts.path.endswith("/") else parts.path + "/"
    return parts.scheme == "https", host, port, path
