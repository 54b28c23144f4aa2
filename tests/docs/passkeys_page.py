"""docs/how-to/passkeys-in-your-pages.md: what passkeys.js would do on a page that they made."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

from portalsec.testing.authenticator import SoftAuthenticator
from tests.support import ROOT

PAGE = ROOT / "docs/how-to/passkeys-in-your-pages.md"
TEXT = PAGE.read_text(encoding="utf-8")
BASE, PASSWORD = "https://portal.example", "violet-anchor-mosaic-27"


def fields_of(page: str) -> dict[str, str]:
    """What a form of a page holds as it comes, with no box ticked."""
    inputs = [each for each in re.findall(r"<input([^>]*)>", page) if "checkbox" not in each]
    named = [(re.search(r'name="([^"]*)"', each), re.search(r'value="([^"]*)"', each)) for each in inputs]
    return {name[1]: html.unescape(value[1]) if value else "" for name, value in named if name}


Post = Callable[[str, dict[str, str]], dict[str, Any]]


def press(page: str, key: SoftAuthenticator, post: Post) -> str:
    """What passkeys.js does with the page's one button of a passkey; where it leads then."""
    (button,) = re.findall(r"<button[^>]*data-passkey[^>]*>", page)
    said = dict(re.findall(r'data-([a-z]+)="([^"]*)"', button))
    sent = {name: fields_of(page)[name] for name in said["send"].split() if name in fields_of(page)}
    assert sent.keys() == set(said["send"].split()) - {"shared", "trust"}
    options = post(said["begin"], sent)["options"]
    answer = {"get": key.get, "create": key.create}[said["passkey"]](options, origin=BASE)
    return str(post(said["finish"], {**sent, "response": answer})["go"])
