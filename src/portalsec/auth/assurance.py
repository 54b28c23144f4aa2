"""How much a set of proofs is worth: assurance levels of SP 800-63B-4, as pure functions of values.

Adding a proof never lowers anything here, and neither order nor repetition matters (the tests hold both).
"""

from __future__ import annotations

from collections.abc import Iterable

from portalsec.auth.proof import KIND, Factor, Kind, Proof

__all__ = ["count", "level", "phishing_resistant", "replay_resistant"]


def count(proofs: Iterable[Proof]) -> int:
    """How many factors were shown: 0, 1, or 2, where two are something known (or the user's own body, as an
    authenticator verified it) and something held.

    Two proofs of one kind are one: two codes, a code and a recovery code, a mailed and a texted one. A password that
    was chosen through a mailed link and a code that was mailed are one too: both are the mailbox.
    """
    known: set[Factor] = set()
    held: set[Factor] = set()
    for proof in proofs:
        if KIND[proof.factor] is Kind.KNOWLEDGE:
            known.add(proof.through or proof.factor)
        else:
            held.add(proof.factor)
            if _multi_factor(proof):
                return 2
    if known and held:
        # Some known one and some held one must not be the same mailbox.
        return 2 if len(known | held) > 1 else 1
    return 1 if known or held else 0


def level(proofs: Iterable[Proof]) -> int:
    """The authentication assurance level: 0 (nothing was shown) to 3.

    2 (sections 2.2.1, 2.2.2): two factors, the held one replay-resistant, which every kind here is. E-mail proves no
    possession of a device (section 3.1.3.1) and never leads there.
    3 (sections 2.3.1, 2.3.2): a passkey that cannot leave its device, of a make that an attestation proved, which
    verified its user or comes with a password. A synced passkey never.
    """
    shown = tuple(proofs)
    if not shown:
        return 0
    devices = [proof for proof in shown if proof.factor is not Factor.EMAIL_CODE]
    if count(devices) < 2:
        return 1
    strong = [proof for proof in devices if _hardware(proof)]
    known = [proof for proof in devices if KIND[proof.factor] is Kind.KNOWLEDGE]
    return 3 if strong and count([*strong, *known]) == 2 else 2


def phishing_resistant(proofs: Iterable[Proof]) -> bool:
    """Whether one of them is bound to this very site by its protocol (section 3.2.5): a passkey, and nothing else."""
    return any(proof.phishing_resistant for proof in proofs)


def replay_resistant(proofs: Iterable[Proof]) -> bool:
    """Whether one of them is worth nothing to whoever records it (section 3.2.7): anything but a password."""
    return any(proof.replay_resistant for proof in proofs)


def _multi_factor(proof: Proof) -> bool:
    return proof.factor is Factor.PASSKEY and proof.user_verified


def _hardware(proof: Proof) -> bool:
    return proof.factor is Factor.PASSKEY and proof.device_bound and proof.attested
