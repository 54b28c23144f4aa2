"""Tokens that a thief cannot use: DPoP, a proof of a key with every request of an API client (RFC 9449)."""

from portalsec.auth.dpop.policy import DpopPolicy
from portalsec.auth.dpop.proof import DpopCheck, DpopProof, ProofRefused, read_proof
from portalsec.auth.dpop.service import Dpop, DpopRefused

__all__ = ["Dpop", "DpopCheck", "DpopPolicy", "DpopProof", "DpopRefused", "ProofRefused", "read_proof"]
