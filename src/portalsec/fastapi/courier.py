"""`courier`: delivers due mail in a thread of its own while an application serves."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from types import TracebackType

from anyio import to_thread

from portalsec.errors import ConfigurationError, StoreError
from portalsec.portal import Portal

__all__ = ["courier"]

_log = logging.getLogger("portalsec.fastapi")
_AT_ONCE = 50


class courier:
    """Mail that is due goes out while this is entered; a context manager, plain or async (a lifespan)::

        @asynccontextmanager
        async def lifespan(app: FastAPI):
            async with courier(portal):
                yield

    Several workers may each have one: a notice is claimed by one of them. Mail that fails is tried again later
    (`portalsec.auth.courier`); a store that fails is logged, and asked again at the next round. Leaving ends the
    thread after the mail in hand; nothing waits in memory, so nothing is lost.
    """

    def __init__(self, portal: Portal, *, every: timedelta = timedelta(seconds=5)) -> None:
        """``every`` is how long after one round the next begins."""
        if not timedelta(0) < every <= timedelta(hours=1):
            raise ConfigurationError("courier: every goes from more than nothing to one hour")
        self._portal = portal
        self._every = every / timedelta(seconds=1)
        self._wake = threading.Event()
        self._ending = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Begin the next round now."""
        self._wake.set()

    def __enter__(self) -> courier:
        if self._thread is not None:
            raise ConfigurationError("courier: this one runs already; make another")
        self._ending = False
        self._wake.clear()
        # No daemon: the interpreter must not end between "sent" and "marked as sent".
        self._thread = threading.Thread(target=self._run, name="portalsec-courier")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        thread, self._thread = self._thread, None
        self._ending = True
        self._wake.set()
        if thread is not None:
            thread.join()

    async def __aenter__(self) -> courier:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await to_thread.run_sync(lambda: self.__exit__(kind, error, trace))

    def _run(self) -> None:
        while True:
            self._round()
            self._wake.wait(self._every)
            self._wake.clear()  # before the look: an end that comes after it leaves the next wait short
            if self._ending:
                return

    def _round(self) -> None:
        try:
            self._portal.courier.deliver(limit=_AT_ONCE)
        except StoreError:
            _log.error("mail could not be looked for; it is tried again", exc_info=True)
        except Exception:  # noqa: BLE001 - whatever it was, tomorrow's mail must still go
            _log.exception("an error ended a round of mail; the next one is tried all the same")
