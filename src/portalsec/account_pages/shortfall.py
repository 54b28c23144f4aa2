"""What a request is answered that showed too little, or looked as if another site had caused it: for both adapters.

A browser that goes somewhere is sent to the page that asks for a factor, and back to where it was. A script that reads JSON
is told the same as JSON (RFC 9457), so that it can do that and then repeat itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from portalsec.account_pages.exchange import Reply
from portalsec.auth.step_up import StepUpRequired
from portalsec.errors import Denied
from portalsec.web import safe_next, wants_json

__all__ = ["PROBLEM", "STEP_UP", "cross_site_reply", "kinds_of", "step_up_page", "step_up_reply"]

STEP_UP = "/account/step-up"
PROBLEM = "application/problem+json"
_KINDS = ("password", "totp", "passkey", "recovery_code")


def step_up_page(path: object, denied: Denied | None = None) -> str:
    """Where an adapter sends whoever was refused with STEP_UP_REQUIRED; from there they come back to ``path``.

    Args:
        path: of this portal, with its query; what is longer than a next page may be comes back without that.
        denied: the refusal. What would do travels along (``or``), and what to set up where nothing would (``set-up``).
            The page shows no more by it than the account has, and whoever edits it gains nothing: what asked for a
            factor asks again.
    """
    next = safe_next(path, default="")
    if not next and isinstance(path, str):
        next = safe_next(path.partition("?")[0])
    if next.partition("?")[0] == STEP_UP or next.startswith(f"{STEP_UP}/"):
        next = "/"  # what this page leads to must not be this page
    query = {"next": next}
    if isinstance(denied, StepUpRequired):
        query["or"] = ",".join(denied.next)
        if denied.set_up:
            query["set-up"] = ",".join(denied.set_up)
    return f"{STEP_UP}?{urlencode(query, safe='/,', quote_via=quote)}"


def kinds_of(text: str) -> tuple[str, ...]:
    """What a visitor's address says would do: names of the closed list, each once, and nothing else."""
    named = text[:128].split(",")
    return tuple(kind for kind in _KINDS if kind in named)


def step_up_reply(
    denied: Denied, *, method: str, target: str, headers: Mapping[str, str], base_url: str
) -> Reply:
    """The answer to a request that was refused with STEP_UP_REQUIRED.

    GET and HEAD come back with path and query. Whatever was posted is not kept: its form's page comes next, by its Referer
    of this origin, else what the path itself shows. A script is told ``go``, which leads back to its page, and ``next``, the
    kinds that would do, where that is known.

    Args:
        target: path and query of the request, as they were sent.
        headers: by lower-case name.
    """
    here = _page_of(headers.get("referer", ""), base_url)
    if wants_json(headers):
        known = {"next": list(denied.next)} if isinstance(denied, StepUpRequired) else {}
        go = step_up_page(here or "/", denied)
        detail = "Show a factor on the page of go, and send this again."
        return _problem(denied, "A factor must be shown first", detail, **known, go=go)
    if method in ("GET", "HEAD"):
        return Reply(redirect=step_up_page(target, denied))
    return Reply(redirect=step_up_page(here or target.partition("?")[0], denied))


def cross_site_reply(
    denied: Denied, *, headers: Mapping[str, str], base_url: str, form_header: str = ""
) -> Reply | None:
    """What a script is told whose request was refused with CROSS_SITE; None for what asks for a page.

    Args:
        form_header: where a form's value was missing, the header that may have it instead.
    """
    if not wants_json(headers):
        return None
    if form_header:
        detail = (
            "The value that each form of this portal has for its session is missing or another one's. Load the page anew, "
            f"or send the value of its form as the header {form_header}."
        )
        return _problem(denied, "The form is not of this session", detail)
    detail = (
        f"The request looked as if another site had caused it. Send it from a page of {base_url}; a program that is no "
        f"browser sends the header Origin: {base_url} with it."
    )
    return _problem(denied, "The request looked cross-site", detail)


def _problem(denied: Denied, title: str, detail: str, **more: object) -> Reply:
    members = {"title": title, "status": 403, "detail": detail, "reason": denied.reason.value, **more}
    return Reply(status=403, json=members, headers={"Content-Type": PROBLEM})


def _page_of(referer: str, base_url: str) -> str:
    """Path and query of the page that a request came from, if that was one of this portal's; else an empty text."""
    if not referer.startswith(f"{base_url}/") or len(referer) > 8192:
        return ""
    return referer[len(base_url) :].partition("#")[0]
