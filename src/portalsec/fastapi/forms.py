"""Reads the one kind of form that portalsec's pages send, strictly."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import parse_qsl

from starlette.requests import Request

from portalsec.errors import Denied, Reason
from portalsec.fastapi.form_tokens import CHECK, FORM_FIELD

__all__ = ["read_form"]

_MAX_FIELDS = 40


async def read_form(request: Request, *, tied: bool = True) -> Mapping[str, str]:
    """The fields of an ``application/x-www-form-urlencoded`` body; the middleware has bounded its size.

    Args:
        tied: the form must be one of this session, or of the sign-in that is under way. False for what begins anew
            whatever the browser holds, as a sign-in does: its page may be older than the cookies.

    Raises:
        Denied: MALFORMED for another type, bytes that are not UTF-8, a name that comes twice (two readers could
            take different ones), a NUL (databases cut or refuse it), or more fields than any page has. CROSS_SITE where
            it has not the value of a form of this session (`portalsec.fastapi.form_tokens`), which the fields leave out.
    """
    fields = dict(await _fields(request))
    given = fields.pop(FORM_FIELD, None)
    check = request.scope.get(CHECK)  # of the middleware, which alone keeps other sites out
    if tied and check is not None:
        await check(request, given)
    return MappingProxyType(fields)


async def _fields(request: Request) -> Mapping[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if kind != "application/x-www-form-urlencoded":
        if not body:
            return MappingProxyType({})  # a button without fields
        raise Denied(Reason.MALFORMED)
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError:  # includes UnicodeDecodeError
        raise Denied(Reason.MALFORMED) from None
    fields = dict(pairs)
    if len(fields) != len(pairs) or any("\0" in text for pair in pairs for text in pair):
        raise Denied(Reason.MALFORMED)
    return MappingProxyType(fields)
