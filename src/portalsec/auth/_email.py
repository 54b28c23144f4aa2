"""`canonical_email`: the one spelling of an e-mail address, or a refusal. Pure.

An address decides who gets a link to an account, so nothing that looks like another address passes: an address is
compared, stored and written to in this spelling alone (GHSA-7rqj-j65f-68wh is what follows where the three differ).
"""

from __future__ import annotations

import re
import unicodedata
from typing import NoReturn

from portalsec.errors import Denied, Reason

__all__ = ["address_or_none", "canonical_email"]

_MAX_ADDRESS = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets
_MAX_LOCAL = 64  # section 4.5.3.1.1
_MAX_DOMAIN = 253
_MAX_LABEL = 63
_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"  # RFC 5322 section 3.2.3
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*\Z", re.ASCII)
_LDH = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\Z", re.ASCII)
_DEVIATIONS = frozenset("ßς")  # IDNA 2003 and IDNA 2008 lead to different domains for these
_LOOKED_LIKE = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"})


def canonical_email(text: object) -> str:
    """The address with its local part in lower case and its domain as A-labels (``xn--``), in lower case.

    The local part is a dot-atom of ASCII (RFC 5322), without quotes, comments or addresses in brackets; internationalised
    ones (RFC 6531) are refused, since many servers on the way still are not able to pass them on. A Unicode domain is
    taken where every label is in its normal form and mixes no alphabets that look alike; it needs two labels at least.
    Idempotent.

    Raises:
        Denied: ADDRESS_REFUSED for everything else: not text, too long, none or several ``@``, a look-alike of it,
            control, format and white space characters (but around the whole), an address of a host.
    """
    if not isinstance(text, str) or len(text) > _MAX_ADDRESS:
        _refuse()
    address = text.strip(" ")
    local, at, domain = address.partition("@")
    if not at or "@" in domain:
        _refuse()
    local = local.lower() if local.isascii() else ""
    if not 1 <= len(local) <= _MAX_LOCAL or not _LOCAL.match(local):
        _refuse()
    labels = [_a_label(label) for label in domain.split(".")]
    host = ".".join(labels)
    if len(labels) < 2 or len(host) > _MAX_DOMAIN or labels[-1].isdigit():
        _refuse()
    if len(local) + 1 + len(host) > _MAX_ADDRESS:
        _refuse()
    return f"{local}@{host}"


def address_or_none(typed: object) -> str | None:
    """`canonical_email`, or None where it is no address."""
    try:
        return canonical_email(typed)
    except Denied:
        return None


def _a_label(label: str) -> str:
    if not 1 <= len(label) <= _MAX_LABEL:
        _refuse()
    if label.isascii():
        lowered = label.lower()
        if not _LDH.match(lowered):
            _refuse()
        if lowered[2:4] == "--" and (lowered[:4] != "xn--" or _encoded(_decoded(lowered)) != lowered):
            _refuse()  # it claims to be a Unicode label in disguise: only what we would have written ourselves passes
        return lowered
    lowered = label.lower()
    if unicodedata.normalize("NFKC", label) != label or len(lowered) != len(label):
        _refuse()  # also before the case goes, which would make a k of a Kelvin sign
    return _encoded(lowered)


def _encoded(label: str) -> str:
    """A Unicode label as its A-label (RFC 3490 ToASCII)."""
    # What is not in its normal form is how a label of look-alikes is made: full-width letters, ligatures, other dots.
    if not label or unicodedata.normalize("NFKC", label) != label or _DEVIATIONS & set(label):
        _refuse()
    if any(unicodedata.category(char)[0] not in "LMN" and char != "-" for char in label):
        _refuse()
    scripts = {unicodedata.name(char, "?").partition(" ")[0] for char in label if char.isalpha()}
    alike = scripts & _LOOKED_LIKE
    # What their normal form leaves of combining marks is on a letter that no language puts one on.
    if len(alike) > 1 or (alike and any(unicodedata.category(char)[0] == "M" for char in label)):
        _refuse()
    encoded: bytes | None
    try:
        encoded = label.encode("idna")
    except UnicodeError:
        encoded = None
    if not encoded or len(encoded) > _MAX_LABEL or not _LDH.match(encoded.decode("ascii")):
        _refuse()
    return encoded.decode("ascii").lower()


def _decoded(label: str) -> str:
    """The Unicode label of an A-label."""
    decoded: str | None
    try:
        decoded = label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        decoded = None
    if decoded is None:
        _refuse()
    return decoded


def _refuse() -> NoReturn:
    raise Denied(Reason.ADDRESS_REFUSED)
