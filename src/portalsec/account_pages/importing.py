"""An authenticator that exists already is taken over: its address is pasted, and a current code of it confirms it.

What was pasted holds seeds. It comes by POST, is in no answer, not even after a mistake, and from then on the server alone
has it (`portalsec.auth.factors.Factors.begin_import`): pages know names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from portalsec.account_pages.authenticators import LIST, added_reply, form_again, short_of, to_step_up
from portalsec.account_pages.exchange import Asked, Reply, Route, Trouble, leads_to, trouble
from portalsec.auth.otpauth import SENTENCES, ImportProblem, ImportRefused
from portalsec.auth.sessions import ActiveSession
from portalsec.errors import Denied, Reason
from portalsec.portal import Portal

__all__ = ["SPANISH", "ImportPages", "WaitingView"]

_AT = f"{LIST}/import"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingView:
    """An authenticator that waits for a code: its place, posted as ``entry``, and the name that the export gives it."""

    place: int
    label: str


class ImportPages:
    """Operations of a live session. Without one they raise `Denied`, as every closed page of the portal does."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(method="GET", path=_AT, operation=self.page),
            Route(method="POST", path=_AT, operation=self.begin),
            Route(method="POST", path=f"{_AT}/confirm", operation=self.confirm),
            Route(method="GET", path=f"{_AT}/confirm", operation=leads_to(_AT, self._session)),
        )

    def page(self, asked: Asked) -> Reply:
        """Asks for what is to be pasted; while some wait for their codes, for these, in ``factor_import_code``."""
        session = self._session(asked)
        waiting = self._waiting(session, asked)
        if waiting:
            return Reply(page="factor_import_code", values=_list(session, waiting, done=asked.text("done")))
        if short := short_of(self._portal, session):
            return to_step_up(_AT, short)
        return Reply(page="factor_import", values={"session": session, "errors": ()})

    def begin(self, asked: Asked) -> Reply:
        """``pasted``: an ``otpauth`` URI, or a payload of ``otpauth-migration``; it voids what was pasted before."""
        session = self._session(asked)
        told: Trouble | None = None
        try:
            self._portal.factors.begin_import(session, asked.text("pasted"), source=asked.source)
            return Reply(redirect=_AT)
        except ImportRefused as refused:
            denied: Denied = refused
            told = _problem(refused.problem, asked.language)
        except Denied as refused:
            if refused.reason is Reason.STEP_UP_REQUIRED:
                return to_step_up(_AT, refused)
            if refused.reason is not Reason.FACTOR_LIMIT:
                raise
            denied, told = refused, trouble("", "factor_limit", asked.language)
        return form_again(denied, "factor_import", {"session": session, "errors": (told,)})

    def confirm(self, asked: Asked) -> Reply:
        """``entry`` and ``code``: a current one of the authenticator at that place; or ``do=drop``: none of them after all.

        This session goes on under a new id; all others end. Shows recovery codes where the account had none left.
        """
        session, factors = self._session(asked), self._portal.factors
        if asked.text("do") == "drop":
            factors.drop_imports(session)
            return Reply(redirect=LIST)
        waiting = self._waiting(session, asked)
        place = _place(asked.text("entry"), waiting)
        if waiting and place is None:
            which = _said("entry", "which", asked.language)
            return Reply(
                status=400, page="factor_import_code", values=_list(session, waiting, errors=(which,))
            )
        try:
            added = factors.confirm_import(
                session, -1 if place is None else place, asked.text("code"), source=asked.source
            )
        except Denied as refused:
            denied = refused
        else:
            rest = len(waiting) > 1
            return added_reply(self._portal, asked, added, onward=_AT if rest else "")
        if denied.reason in _OVER:
            told = trouble("", "begin_again", asked.language)
            return form_again(denied, "factor_import", {"session": session, "errors": (told,)})
        if denied.reason is Reason.FACTOR_LIMIT:
            told = trouble("", "factor_limit", asked.language)
        elif denied.reason is Reason.FACTOR_ALREADY_ENROLLED:
            told = _said("entry", "here", asked.language)
        elif denied.reason in _CODE:
            told = _said("code", "code", asked.language)
        else:
            raise denied
        values = _list(session, waiting, errors=(told,), entry=place)
        return form_again(denied, "factor_import_code", values)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _session(self, asked: Asked) -> ActiveSession:
        session = self._portal.guard.session(asked.session, source=asked.source)
        session.require_owner()  # support that acts in the owner's name sees no factors
        return session

    def _waiting(self, session: ActiveSession, asked: Asked) -> tuple[WaitingView, ...]:
        names = self._portal.factors.waiting_imports(session, source=asked.source)
        return tuple(WaitingView(place=place, label=label) for place, label in enumerate(names))


_OVER = frozenset({Reason.FLOW_UNKNOWN, Reason.FACTOR_NOT_ENROLLED, Reason.FACTOR_DISABLED})
_CODE = frozenset({Reason.WRONG_CODE, Reason.MALFORMED, Reason.THROTTLED})


def _list(
    session: ActiveSession,
    waiting: tuple[WaitingView, ...],
    *,
    done: str = "",
    errors: tuple[Trouble, ...] = (),
    entry: int | None = None,
) -> dict[str, object]:
    shown = "added" if done == "added" else ""
    return {"session": session, "waiting": waiting, "entry": entry, "done": shown, "errors": errors}


def _place(text: str, waiting: tuple[WaitingView, ...]) -> int | None:
    place = int(text) if text.isascii() and text.isdigit() and len(text) <= 2 else None
    return place if place is not None and place < len(waiting) else None


def _problem(problem: ImportProblem, language: str) -> Trouble:
    sentence = SPANISH[problem] if language == "es" else SENTENCES[problem]
    return Trouble(field="pasted", id=f"import_{problem.value}", text=sentence)


def _said(field: str, name: str, language: str) -> Trouble:
    english, spanish = _WORDS[name]
    return Trouble(field=field, id=f"import_{name}", text=spanish if language == "es" else english)


_WORDS = {
    "which": (
        "Choose the authenticator that the code is from.",
        "Elija el autenticador del que es el código.",
    ),
    "here": (
        "This authenticator is on your list already.",
        "Este autenticador ya está en su lista.",
    ),
    "code": (
        "That code was not accepted. Check that it is from this authenticator, or wait for the next one.",
        "Ese código no se ha aceptado. Compruebe que es de este autenticador o espere al siguiente.",
    ),
}

SPANISH: Final[Mapping[ImportProblem, str]] = MappingProxyType(
    {
        ImportProblem.NOT_TEXT: "Pegue la dirección del código QR; empieza por otpauth:// o otpauth-migration://.",
        ImportProblem.TOO_LONG: "Es más largo que cualquier código QR: exporte menos cuentas de una vez.",
        ImportProblem.NOT_OTPAUTH: "No es la dirección de un autenticador: empieza por otpauth:// o otpauth-migration://.",
        ImportProblem.NOT_TOTP: "Este autenticador cuenta pulsaciones y no tiempo (HOTP): añada uno que vaya por tiempo.",
        ImportProblem.TWICE: "Esta dirección dice algo dos veces: expórtela de nuevo.",
        ImportProblem.NO_SECRET: "En esta dirección no hay ningún secreto: expórtela de nuevo.",
        ImportProblem.BAD_SECRET: "El secreto de esta dirección no es base32: expórtela de nuevo.",
        ImportProblem.SHORT_SECRET: "El secreto tiene menos de 160 bits y es demasiado corto: configure un autenticador nuevo.",
        ImportProblem.LONG_SECRET: "El secreto tiene más de 1024 bits: configure un autenticador nuevo.",
        ImportProblem.ALGORITHM: "Este autenticador no usa SHA-1, SHA-256 ni SHA-512: configure uno nuevo.",
        ImportProblem.DIGITS: "Los códigos de este autenticador tienen menos de 6 cifras o más de 8: configure uno nuevo.",
        ImportProblem.PERIOD: "Los códigos de este autenticador duran menos de 15 s o más de 120 s: configure uno nuevo.",
        ImportProblem.DAMAGED: "Esta exportación no se puede leer: hágala de nuevo.",
        ImportProblem.EMPTY: "En esta exportación no hay ningún autenticador: hágala de nuevo.",
        ImportProblem.SEVERAL: "Esta exportación contiene varios autenticadores: elija uno.",
        ImportProblem.NO_ENTRY: "Esta exportación no contiene ese autenticador: elija uno de los que contiene.",
    }
)
"""What to say of each problem, in Spanish; `portalsec.auth.otpauth.SENTENCES` is the English."""
