"""What a mail looks like: the same in text and HTML, one link at most, to one place, and nothing from elsewhere."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.notice_mail import MailWriter
from portalsec.auth.notices import REQUESTS, Letter, NoticeKind
from portalsec.auth.ports import Contact, Message
from portalsec.errors import ConfigurationError
from portalsec.secret import Secret
from tests.auth.mailing import links_of

TOKEN = "t" * 43
AT = datetime(2026, 3, 2, 9, 5, tzinfo=UTC)
BASE = "https://portal.example"


def writer(**changes: Any) -> MailWriter:
    return MailWriter(**{"base_url": BASE, "portal": "Hill Clinic", **changes})


def letter(kind: NoticeKind = NoticeKind.NEW_DEVICE, *, link: bool = True, **details: str) -> Letter:
    contact = Contact(id="c1", account_id="a1", address="robin@mail.example", verified_at=AT, created_at=AT)
    return Letter(
        contact=contact,
        kind=kind,
        token=Secret(TOKEN) if link else None,
        at=AT,
        code="K7QF-29XM",
        details=details,
    )


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def words_of(message: Message) -> str:
    return " ".join(" ".join(Page(message.html).words).split())


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("kind", list(NoticeKind))
def test_every_mail_names_itself_and_links_to_the_portal_alone(kind: NoticeKind, language: str) -> None:
    mail = writer().write(letter(kind, browser="Firefox / Windows"), letter_id="n1", language=language)
    assert "K7QF-29XM" in mail.subject and "K7QF-29XM" in mail.text and "K7QF-29XM" in mail.html
    (link,) = links_of(mail)
    assert link.startswith(BASE + "/") and link.endswith(f"?token={TOKEN}")
    assert mail.language == language and f'<html lang="{language}">' in mail.html
    assert "robin@mail.example" not in mail.text + mail.html + mail.subject + mail.message_id


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_text_and_html_say_the_same_in_the_same_order(kind: NoticeKind) -> None:
    mail = writer().write(letter(kind, browser="Firefox / Windows", place="192.0.2.0/24"), letter_id="n1")
    said = words_of(mail)
    position = 0
    for line in filter(None, mail.text.splitlines()):
        found = said.find(" ".join(line.split()), position)
        assert found >= 0, line
        position = found


@pytest.mark.parametrize("kind", [kind for kind in NoticeKind if kind not in REQUESTS])
def test_a_notice_without_links_says_where_to_go_and_has_no_address_in_it(kind: NoticeKind) -> None:
    mail = writer(links=False).write(letter(kind), letter_id="n1")
    assert links_of(mail) == set() and TOKEN not in mail.text + mail.html
    assert "<a" not in mail.html and "www" not in mail.text and "portal.example" not in mail.text + mail.html
    assert "Messages" in mail.text


@pytest.mark.parametrize("kind", sorted(REQUESTS))
def test_mail_that_was_asked_for_has_its_link_either_way(kind: NoticeKind) -> None:
    assert len(links_of(writer(links=False).write(letter(kind), letter_id="n1"))) == 1


def test_nothing_in_a_mail_comes_from_elsewhere() -> None:
    page = Page(writer().write(letter(), letter_id="n1").html)
    tags = {tag for tag, _ in page.tags}
    assert tags <= {"html", "head", "meta", "title", "body", "div", "p", "h1", "br", "strong", "a"}
    for _, attributes in page.tags:
        assert not {"src", "background", "action", "onclick"} & set(attributes)
        assert "url(" not in (attributes.get("style") or "")


def test_html_can_be_read_on_a_telephone_and_aloud() -> None:
    mail = writer().write(letter(), letter_id="n1")
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in mail.html
    assert "max-width:36em" in mail.html and "word-break:break-all" in mail.html
    assert [tag for tag, _ in Page(mail.html).tags].count("h1") == 1
    (anchor,) = (attributes for tag, attributes in Page(mail.html).tags if tag == "a")
    assert anchor["href"] in words_of(mail)  # what is shown is where it leads


def test_a_moment_is_written_as_people_of_the_language_do() -> None:
    assert "2 March 2026, 09:05 UTC" in writer().write(letter(), letter_id="n1").text
    assert "2 de marzo de 2026, 09:05 UTC" in writer().write(letter(), letter_id="n1", language="es").text


def test_one_letter_has_one_message_id_at_every_attempt_and_another_to_every_address() -> None:
    one = writer().write(letter(), letter_id="n1").message_id
    assert one == writer().write(letter(), letter_id="n1", language="es").message_id
    assert one != writer().write(letter(), letter_id="n2").message_id
    assert re.fullmatch(r"<[0-9a-f]{32}@portal\.example>", one)


@given(st.text(max_size=200))
def test_atk_39_details_cannot_break_a_mail_nor_bring_a_link(detail: str) -> None:
    mail = writer().write(letter(browser=detail, place="http://evil.example " + detail), letter_id="n1")
    assert len(links_of(mail)) == 1
    assert {tag for tag, _ in Page(mail.html).tags} <= {
        "html", "head", "meta", "title", "body", "div", "p", "h1", "br", "strong", "a",
    }  # fmt: skip
    assert "evil" not in mail.text


def test_a_portal_s_name_is_shown_and_not_run() -> None:
    mail = writer(portal="Hill & <b>Clinic</b>").write(letter(link=False), letter_id="n1")
    assert "Hill &amp; &lt;b&gt;Clinic&lt;/b&gt;" in mail.html


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": "portal.example"},
        {"base_url": "https://portal.example/app"},
        {"base_url": "javascript://x"},
        {"portal": "Hill\r\nBcc: x"},
        {"portal": ""},
        {"language": "fr"},
    ],
)
def test_a_writer_that_could_not_write_is_not_built(changes: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        writer(**changes)


GOOD = {
    "to": "robin@mail.example",
    "subject": "s",
    "text": "t",
    "html": "h",
    "message_id": "<a@b.example>",
    "language": "en",
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("to", "robin@mail.example\r\nBcc: x@evil.example"),
        ("to", "robin@mail.example, x@evil.example"),
        ("to", "robin@mail.example\n"),
        ("to", '"a b"@mail.example'),
        ("to", "<robin@mail.example>"),
        ("to", "robin@evil.example@mail.example"),
        ("to", "röbin@mail.example"),
        ("to", ""),
        ("subject", "x\r\nBcc: y"),
        ("subject", "x\x00"),
        ("subject", " "),
        ("subject", "x" * 201),
        ("subject", "x\u202ey"),
        ("message_id", "<a@b>\r\nX: y"),
        ("message_id", "a@b"),
        ("language", "en\r\nX: y"),
    ],
)
def test_no_message_exists_whose_headers_could_be_somebody_else_s(field: str, value: str) -> None:
    assert Message(**GOOD)
    with pytest.raises(ConfigurationError) as caught:
        Message(**{**GOOD, field: value})
    assert "evil" not in str(caught.value)


def test_a_message_shows_no_address_and_no_letter() -> None:
    assert "robin" not in repr(Message(**{**GOOD, "text": "robin's", "html": "robin's"}))


def test_atk_39_a_detail_is_bare_before_it_is_escaped_and_escaped_all_the_same() -> None:
    mail = writer().write(letter(browser="A & B\r\n<b>\x1b", link=False), letter_id="n1")
    assert "A &amp; Bb</strong>" in mail.html
    assert "Browser: A & Bb\n" in mail.text
