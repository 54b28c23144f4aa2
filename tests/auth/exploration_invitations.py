"""Invitations as a way in, in `tests.auth.exploration`: kim has none of the accounts yet, and a letter with a code.

`Invitations` and `Creating` are the real ones. Everybody can read the letter, so any browser tries it, for a new name, for
a name that is taken, and once more after it was used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from portalsec.auth._creating import Creating
from portalsec.auth.invitations import Invitations
from portalsec.events import SYSTEM
from tests.auth.exploration_models import MAC, Anything
from tests.auth.exploration_policies import SOURCE
from tests.auth.exploration_sessions import Hole

if TYPE_CHECKING:
    from tests.auth.exploration_world import World

__all__ = ["INVITED", "Letters"]

INVITED = "kim"


class Letters:
    """The events of one invitation."""

    def __init__(self, world: World) -> None:
        self.world = world
        anything: Any = Anything()
        passwords: Any = SimpleNamespace(prepare=lambda account_id, password, **_: password)
        words: Any = SimpleNamespace(of=lambda *_: ())
        self.making: dict[str, str] = {"id": INVITED}
        self.invitations = Invitations(
            store=world.mailed,
            creating=Creating(
                accounts=world.accounts,
                contacts=anything,
                new_passwords=passwords,
                with_second_factor=True,
                own_words=words,
                emit=anything.emit,
                clock=lambda: world.now,
                new_id=lambda: self.making["id"],
            ),
            throttle=anything,
            sign_in=world.sign_in,
            sessions=world.sessions,
            emit=anything.emit,
            clock=lambda: world.now,
            mac=MAC,
        )
        self.code = self.invitations.invite("patient 7", actor=SYSTEM, source=SOURCE).reveal()

    def events(self, number: int) -> Iterator[tuple[str, Callable[[], None]]]:
        # As whom it is for, and then as somebody else; or as who is there already.
        for name in ("sam" if self.world.here(INVITED) else INVITED, "robin"):
            yield f"{number}: signs up, as {name}", lambda n=name: self.sign_up(number, n)

    def sign_up(self, number: int, name: str) -> None:
        world, browser = self.world, self.world.browsers[number]
        before = dict(world.accounts._by_id)
        # Whoever comes second would be another person, with an id of their own.
        self.making["id"] = "another" if world.here(INVITED) else INVITED
        made = self.invitations.sign_up(
            invitation=self.code, login=name, password=f"{INVITED} 0", source=SOURCE
        )
        if name != INVITED or made.account_id != INVITED or made.reference != "patient 7":
            raise Hole(f"an invitation of {INVITED} let {name} in, as {made.account_id}")
        if any(world.accounts._by_id[each] is not account for each, account in before.items()):
            raise Hole("an invitation changed an account that was there")
        browser.stale = browser.pending or browser.stale
        world.arrived(number, None, made.step, INVITED, "password")
