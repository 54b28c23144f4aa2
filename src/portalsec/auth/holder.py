"""Who holds a session that is bound to a key, as the request that presents its token showed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Holder"]


@dataclass(frozen=True, slots=True)
class Holder:
    """A key of which this request has a proof (RFC 9449), for `Sessions.check`.

    Attributes:
        jkt: the key's thumbprint (RFC 7638), base64url.
        spend: takes the proof, once, when everything else about the session holds: so nobody without a live session of
            this key fills a store with used proofs, and a replay moves nothing. Raises `portalsec.errors.Denied`.
    """

    jkt: str
    spend: Callable[[], None] = field(repr=False, compare=False)
