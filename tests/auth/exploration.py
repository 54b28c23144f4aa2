"""Every path through `SignIn` in a small world: two accounts, two browsers, every event, breadth first.

`SignIn`, `Sessions`, `Endings` and the stores of accounts, flows and sessions are the real ones. What looks at a factor
is a model that can be copied and put back (the real ones have tests of their own), there are no budgets, and time moves
only where an event says so. Besides the tokens that a browser holds, each browser remembers its last pending token, as a
tab or a thief would, and every event is tried with either. Sessions are stepped up, rest and are resumed
(`tests.auth.exploration_sessions`); codes are mailed; browsers are trusted, with the real `KnownDevices` and `Trust`.
Each other way in has a policy with it, so that it costs nothing elsewhere: links by mail ("linked",
`tests.auth.exploration_links`), invitations ("invited", `tests.auth.exploration_invitations`), support that acts in an
owner's name ("support", `tests.auth.exploration_support`). "hardware" asks everyone for level 3; "wordless" leaves the password
out of what opens a session; "labels" asks more of who
is abroad (`portalsec.auth.attempt`), and "unmailed" takes mailed codes of everyone but staff. In the last two an
authenticator may be guessed to death.

Beside the world runs a ghost: which secrets were really shown on the way to which token. It knows nothing of `Proof`,
`Demand` or `Next`; `enough` says by itself, in one line a policy, what a session needs. It also knows which passwords are
old, which sign-ins were ended, and how long ago something was shown.

Which states count as one is `tests.auth.exploration_key`; `merged` shows that the same can happen in them.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from portalsec.auth._pending import Pending
from portalsec.errors import Denied
from tests.auth.exploration_key import Fingerprint
from tests.auth.exploration_policies import ACCOUNTS, POLICIES, SOURCE, SUPPORT
from tests.auth.exploration_sessions import Hole
from tests.auth.exploration_world import World

__all__ = ["POLICIES", "STARTS", "WORLDS", "Explored", "Hole", "explore", "merged", "wander"]

STARTS = ("bare", "factors", "session")
SAME = {
    ("invited", "factors"),
    ("support", "bare"),
    ("support", "factors"),
}  # nobody acts there yet: as in "roles"
WORLDS = [(policy, start) for policy in POLICIES for start in STARTS if (policy, start) not in SAME]


@dataclass(frozen=True)
class Explored:
    """How far it went."""

    states: int
    transitions: int
    sessions: int


def begin(policy: str, start: str) -> World:
    """Where it begins: two accounts without a second factor ("bare"), or one with an authenticator and a recovery code and
    one with a passkey ("factors"), or the first has a passkey too and is signed in with it ("session"). Where there is a
    support desk, it is kim of the desk who is signed in; and who was invited has nothing before the letter is used."""
    world = World(policy)
    if start != "bare":
        world.model.totp["robin"], world.model.codes["robin"] = 0, 1
        if world.here("kim"):
            world.model.passkeys["kim"] = "key of kim"
    if start == "session":
        who = SUPPORT if policy == "support" else "robin"
        response = (who, True, True) if world.hardware else (who, True)
        (world.model.keys if world.hardware else world.model.passkeys)[who] = f"first key of {who}"
        world.begin_first(0, None)
        token = world.browsers[0].pending or ""
        world.show(
            0,
            token,
            who,
            "hard" if world.hardware else "verified",
            lambda: world.sign_in.submit_passkey(token, response, source=SOURCE),
        )
    return world


USUAL = ("", ": pending: ", ": pending: ", ": in the session: ", ": acting: ")


def wander(policy: str, start: str, *, seed: int, steps: int) -> int:
    """One long path at random, where breadth does not reach; how many sessions it opened on its way."""
    random, world, opened, path = Random(seed), begin(policy, start), 0, []
    for _ in range(steps):
        events = list(world.events())
        about = random.choice(USUAL)  # or few walks would come past a door
        name, event = random.choice([each for each in events if about in each[0]] or events)
        path.append(name)
        was = [browser.session for browser in world.browsers]
        try:
            event()
        except Denied:
            continue
        except Hole as hole:
            raise Hole(f"{hole} after: {' / '.join(path[-12:])} (seed {seed})") from None
        opened += was != [browser.session for browser in world.browsers]
        if random.random() < 0.02:
            for each in filter(world.here, ACCOUNTS):  # or both end as disabled and nothing moves any more
                world.change(each, disabled=False, must_change=None)
    return opened


def explore(policy: str, start: str, *, depth: int, after: tuple[str, ...] = ()) -> Explored:
    """Breadth first: every path of up to ``depth`` events; `Hole` with its path where there is one.

    ``after``: names of events that happened before, which brings it near to what a test breaks.
    """
    world, key = begin(policy, start), Fingerprint()
    for each in after:
        dict(world.events())[each]()
    seen = {key(world)}
    level: list[tuple[Any, tuple[str, ...]]] = [(world.save(), after)]
    transitions = sessions = 0
    with _remembered():
        for reached in range(depth):
            deeper: list[tuple[Any, tuple[str, ...]]] = []
            last = reached + 1 == depth
            for saved, path in level:
                world.load(saved)
                was = [browser.session for browser in world.browsers]
                for name, event in list(world.events()):
                    try:
                        event()
                    except Denied:
                        pass
                    except Hole as hole:
                        raise Hole(f"{hole} after: {' / '.join((*path, name))}") from None
                    transitions += 1
                    if not world.differs(saved):
                        continue
                    sessions += was != [browser.session for browser in world.browsers]
                    found = key(world)
                    if found not in seen:
                        seen.add(found)
                        if not last:
                            deeper.append((world.save(), (*path, name)))
                    world.load(saved)
            level = deeper
    return Explored(states=len(seen), transitions=transitions, sessions=sessions)


def merged(policy: str, start: str, *, depth: int, every: int) -> int:
    """Of the states that were taken for one that is known, look at one in ``every``: what can be reached from both must
    be the same. How many pairs were looked at."""
    world, key = begin(policy, start), Fingerprint()
    known = {key(world): world.save()}
    level, found = list(known.values()), 0

    def leads(saved: Any, here: Any) -> set[tuple[str, Any]]:
        """What leads where, whichever browser it is; without what changes nothing, such as all with a dead token."""
        world.load(saved)
        led = set()
        for name, event in list(world.events()):
            with suppress(Denied):
                event()
            led.add((re.sub(r"^\d: |\d+,", "", name), key(world)))
            world.load(saved)
        return {(name, there) for name, there in led if there != here}

    for _ in range(depth):
        deeper = []
        for saved in level:
            world.load(saved)
            for name, event in list(world.events()):
                with suppress(Denied):
                    event()
                here, state = key(world), world.save()
                if here not in known:
                    known[here] = state
                    deeper.append(state)
                elif world.differs(known[here]) and world.differs(saved):
                    found += 1
                    if found % every == 0 and leads(state, here) != leads(known[here], here):
                        raise Hole(f"two states count as one, and are not, after {name}")
                world.load(saved)
        level = deeper
    return found // every


@contextmanager
def _remembered() -> Iterator[None]:
    """Texts of pending sign-ins, which are pure functions of frozen values, are made and read once each; and what lives
    long is not looked through for garbage again and again."""
    encode, decode = Pending.encode, Pending.__dict__["decode"]
    Pending.encode = lru_cache(10_000)(encode)
    Pending.decode = staticmethod(lru_cache(10_000)(Pending.decode))
    threshold = gc.get_threshold()
    gc.set_threshold(100_000, 50, 1_000_000)
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        Pending.encode, Pending.decode = encode, decode
