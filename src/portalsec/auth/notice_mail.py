"""From a `Letter` to a `Message`: pure; the same letter in plain text and in HTML.

The HTML has no image, no script, no style sheet from elsewhere and two links at most, to the portal's own address. It
reads at the width of a telephone and with a screen reader, in the order of the text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from html import escape
from types import MappingProxyType
from urllib.parse import urlsplit

from portalsec.auth.notice_words import CATALOGUES, Catalogue, catalogue
from portalsec.auth.notices import REQUESTS, Letter, NoticeKind
from portalsec.auth.ports import Message
from portalsec.errors import ConfigurationError
from portalsec.secret import Secret

__all__ = ["LINK_PATHS", "UNDO_PATH", "MailWriter"]

LINK_PATHS: Mapping[NoticeKind, str] = MappingProxyType(
    {
        NoticeKind.REQUEST_RESET: "/password/link",
        NoticeKind.REQUEST_VERIFY: "/account/email/link",
        NoticeKind.REQUEST_UNLOCK: "/unlock/link",
        NoticeKind.REQUEST_REGISTER: "/register/link",
        NoticeKind.REQUEST_SIGN_IN: "/sign-in/link",
    }
)
"""Where a request's link leads; every other kind's leads to ``/not-me``. The token is the query's ``token``."""

UNDO_PATH = "/undo"
"""Where the link leads that takes back just one change."""

_DISAVOW_PATH = "/not-me"
_ABOUT = ("when", "browser", "place", "code")


class MailWriter:
    """Finds the words of letters. Safe for concurrent use.

    Args:
        base_url: the portal's one origin; links lead nowhere else, whatever a request's headers said.
        portal: its name.
        language: where the account's own is not known.
        links: whether notices have a link; requests have theirs either way.
        catalogues: by language; add one, or replace letters with `Catalogue.replaced`.
    """

    def __init__(
        self,
        *,
        base_url: str,
        portal: str,
        language: str = "en",
        links: bool = True,
        catalogues: Mapping[str, Catalogue] = CATALOGUES,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"https", "http"} or not parts.hostname or parts.path.strip("/"):
            raise ConfigurationError('MailWriter: base_url is an origin, as "https://portal.example"')
        if not portal.strip() or len(portal) > 80 or not portal.isprintable():
            raise ConfigurationError("MailWriter: portal is a printable name of at most 80 characters")
        catalogue(catalogues, None, language)
        self.links = links
        self._base_url = base_url.rstrip("/")
        self._host = parts.hostname
        self._portal = portal
        self._language = language
        self._catalogues = catalogues

    def write(self, letter: Letter, *, letter_id: str, language: str | None = None) -> Message:
        """The mail.

        Args:
            letter_id: names the letter whatever the attempt; with the address it gives the Message-ID.
            language: of the reader; the portal's own where it is None or there is no catalogue of it.
        """
        tag, words = catalogue(self._catalogues, language, self._language)
        values = {"portal": self._portal, "code": letter.code, "when": _moment(letter.at, words)}
        values |= {key: _plain(letter.details.get(key, "")) for key in ("browser", "place")}
        subject, what = (part.format_map(values) for part in words.letters[letter.kind])
        phrases = {key: text.format_map(values) for key, text in words.phrases.items()}
        if letter.kind is NoticeKind.REQUEST_REGISTER and letter.token is None:
            # Only the mailbox is told that there is an account; the page that asked said the same as ever.
            subject, what = phrases["registered_subject"], phrases["registered"]
        about = [(phrases[key], values[key]) for key in _ABOUT if values[key]]
        if letter.one_time is not None:
            # In the text and not in the subject, which telephones show while they are locked.
            about.insert(0, (phrases["sign_in_code"], letter.one_time.reveal()))
        link = self._link(letter)
        after, closing = self._advice(letter, phrases, link)
        undo = None if letter.undo is None or not self.links else self._to(UNDO_PATH, letter.undo)
        # The undo first: what follows the links is about the other one.
        links = [(phrases["undo"], undo), (after, link)]
        named = hashlib.sha256(f"{letter_id}\0{letter.contact.address}".encode()).hexdigest()[:32]
        return Message(
            to=letter.contact.address,
            subject=f"{subject} [{letter.code}]",
            text=_text(what, about, links, closing),
            html=_html(
                language=tag,
                portal=self._portal,
                subject=subject,
                what=what,
                about=about,
                links=links,
                closing=closing,
            ),
            message_id=f"<{named}@{self._host if ':' not in self._host else 'localhost'}>",
            language=tag,
        )

    def _link(self, letter: Letter) -> str | None:
        if letter.token is None or not (self.links or letter.kind in REQUESTS):
            return None
        path = LINK_PATHS.get(letter.kind, _DISAVOW_PATH)
        return self._to(path, letter.token)

    def _to(self, path: str, token: Secret[str]) -> str:
        return f"{self._base_url}{path}?token={token.reveal()}"

    @staticmethod
    def _advice(letter: Letter, phrases: Mapping[str, str], link: str | None) -> tuple[str, list[str]]:
        """What stands at the link, and the paragraphs after it."""
        if letter.one_time is not None:
            return "", [phrases["code_lives"], phrases["code_nobody"], phrases["genuine_stranger"]]
        if letter.kind in REQUESTS:
            stranger = letter.kind in {NoticeKind.REQUEST_REGISTER, NoticeKind.REQUEST_VERIFY}
            return phrases["go_on"], [
                *([phrases["works_once"]] if link else []),
                phrases["genuine_stranger" if stranger else "genuine"],
            ]
        if link:
            return phrases["not_me"], [phrases["not_me_then"], phrases["genuine"]]
        return "", [phrases["not_me_plain"], phrases["genuine"]]


def _plain(value: str) -> str:
    """What a detail may put into a mail: one short printable line without anything that a mail program makes a link of."""
    kept = "".join(char for char in value if char.isprintable() and char not in "<>@\\")
    return "" if "//" in kept or "www." in kept.casefold() else kept[:60]


def _moment(at: datetime, words: Catalogue) -> str:
    return words.moment.format_map(
        {
            "day": str(at.day),
            "month": words.months[at.month - 1],
            "year": str(at.year),
            "time": f"{at:%H:%M}",
        }
    )


def _text(
    what: str, about: list[tuple[str, str]], links: list[tuple[str, str | None]], closing: list[str]
) -> str:
    parts = [what, "\n".join(f"{label}: {value}" for label, value in about)]
    parts += [f"{before}:\n{link}" for before, link in links if link]
    return "\n\n".join([*parts, *closing]) + "\n"


_P = '<p style="margin:0 0 1em">'


def _html(
    *,
    language: str,
    portal: str,
    subject: str,
    what: str,
    about: list[tuple[str, str]],
    links: list[tuple[str, str | None]],
    closing: list[str],
) -> str:
    rows = "<br>\n".join(f"{escape(label)}: <strong>{escape(value)}</strong>" for label, value in about)
    parts = [f"{_P}{escape(what)}</p>", f"{_P}{rows}</p>"]
    for before, link in links:
        if link:
            # The address is what is shown: whoever reads can compare it with the one that they know.
            shown = escape(link, quote=True)
            parts.append(
                f'{_P}{escape(before)}:<br>\n<a href="{shown}" style="word-break:break-all">{shown}</a></p>'
            )
    parts += [f"{_P}{escape(paragraph)}</p>" for paragraph in closing]
    body = "\n".join(parts)
    return f"""<!DOCTYPE html>
<html lang="{escape(language, quote=True)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(subject)}</title>
</head>
<body style="margin:0;padding:1em;font:1em/1.5 sans-serif">
<div style="max-width:36em;margin:0 auto">
{_P}{escape(portal)}</p>
<h1 style="margin:0 0 1em;font-size:1.25em">{escape(subject)}</h1>
{body}
</div>
</body>
</html>
"""
