"""Any bytes at all are a form or a refusal, never an error."""

from __future__ import annotations

from urllib.parse import urlencode

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from portalsec.errors import Denied, Reason
from portalsec.fastapi import read_form

FORM = "application/x-www-form-urlencoded"


def read(body: bytes, content_type: str | None = FORM) -> dict[str, str]:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [] if content_type is None else [(b"content-type", content_type.encode("latin-1"))]
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)
    return dict(anyio.run(read_form, request))


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
        max_size=40,
    )
)
def test_what_a_browser_sends_is_read_back(fields: dict[str, str]) -> None:
    assert read(urlencode(fields).encode("ascii")) == fields


@given(st.binary(max_size=400))
def test_any_bytes_are_a_form_or_a_refusal(body: bytes) -> None:
    try:
        fields = read(body)
    except Denied as denied:
        assert denied.reason is Reason.MALFORMED
    else:
        assert all("\0" not in text for pair in fields.items() for text in pair)


@pytest.mark.parametrize(
    "body",
    [
        b"a=1&a=2",  # two readers could take different ones
        b"a=%00",
        b"%00=a",
        b"a=%FF",  # not UTF-8
        "a=é".encode(),  # not escaped
        b"&".join(b"a%d=1" % n for n in range(41)),
    ],
)
def test_a_form_that_no_page_sends_is_refused(body: bytes) -> None:
    with pytest.raises(Denied) as refused:
        read(body)
    assert refused.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data; boundary=x", "", None, "text/plain"]
)
def test_another_type_is_refused_unless_there_is_nothing(content_type: str | None) -> None:
    assert read(b"", content_type) == {}
    with pytest.raises(Denied):
        read(b"a=1", content_type)


def test_parameters_of_the_type_do_not_matter() -> None:
    assert read(b"a=1", "Application/X-WWW-Form-Urlencoded; charset=utf-8") == {"a": "1"}
