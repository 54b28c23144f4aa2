"""The Merkle tree of RFC 6962 section 2.1, as pure functions of hashes.

A leaf is hashed after one zero byte and an inner node after one byte 0x01, so that no node can pass for a leaf
(a second preimage otherwise). The tree over n leaves splits at the largest power of two smaller than n, and is
never padded, so two logs of different content never share a root.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence

from portalsec.errors import Tampered

__all__ = [
    "EMPTY_ROOT",
    "Frontier",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "tree_root",
    "verify_consistency",
    "verify_inclusion",
]

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of the tree without leaves."""

_HASH_BYTES = 32


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The compact range [0, size): enough of a tree to go on appending and to know its root.

    Holds the roots of the perfect subtrees that the tree consists of, largest first: one for each set bit of
    ``size``, so at most 64 hashes whatever the size of the log. Not safe for threads: its owner locks.
    """

    __slots__ = ("_nodes", "_size")

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._size = 0

    @property
    def size(self) -> int:
        """How many leaves were appended."""
        return self._size

    def append(self, leaf: bytes) -> None:
        """Add the next leaf's hash (32 bytes; see `leaf_hash`)."""
        node = leaf
        size = self._size
        # Each trailing set bit of the size is a perfect subtree that the new one completes to the next level.
        while size & 1:
            node = node_hash(self._nodes.pop(), node)
            size >>= 1
        self._nodes.append(node)
        self._size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """`append` each in order."""
        for leaf in leaves:
            self.append(leaf)

    def root(self) -> bytes:
        """The root over everything appended so far."""
        if not self._nodes:
            return EMPTY_ROOT
        node = self._nodes[-1]
        for left in reversed(self._nodes[:-1]):
            node = node_hash(left, node)
        return node

    def copy(self) -> Frontier:
        """An independent frontier in the same state."""
        other = Frontier()
        other._nodes = list(self._nodes)
        other._size = self._size
        return other


def tree_root(leaves: Iterable[bytes]) -> bytes:
    """The root over a sequence of leaf hashes."""
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.root()


def _split(size: int) -> int:
    """The largest power of two smaller than ``size`` (size > 1)."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """PATH(index, leaves) of RFC 6962 section 2.1.1, from the leaf upwards. ``ValueError`` for a foreign index."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"index {index} is not in a tree of {len(leaves)} leaves")
    proof: list[bytes] = []
    while len(leaves) > 1:
        split = _split(len(leaves))
        if index < split:
            proof.append(tree_root(leaves[split:]))
            leaves = leaves[:split]
        else:
            proof.append(tree_root(leaves[:split]))
            leaves, index = leaves[split:], index - split
    proof.reverse()
    return proof


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """PROOF(old_size, leaves) of RFC 6962 section 2.1.2. ``ValueError`` where there is nothing to prove."""
    if not 0 < old_size <= len(leaves):
        raise ValueError(f"no consistency proof from size {old_size} to {len(leaves)}")
    proof: list[bytes] = []
    known = True  # whether the verifier knows this subtree's root already, as it does on the left edge
    while old_size < len(leaves):
        split = _split(len(leaves))
        if old_size <= split:
            proof.append(tree_root(leaves[split:]))
            leaves = leaves[:split]
        else:
            proof.append(tree_root(leaves[:split]))
            leaves, old_size, known = leaves[split:], old_size - split, False
    if not known:
        proof.append(tree_root(leaves))
    proof.reverse()
    return proof


def verify_inclusion(*, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that ``leaf`` (a hash) is at ``index`` of the tree of ``size`` leaves with ``root`` (RFC 9162 2.1.3.2).

    Raises:
        Tampered: it is not, or the proof is not one.
    """
    if not 0 <= index < size:
        raise Tampered("The inclusion proof is of an index outside its tree.")
    # A leaf of another length could be a node's two children in disguise.
    if len(leaf) != _HASH_BYTES or any(len(node) != _HASH_BYTES for node in proof):
        raise Tampered("The inclusion proof holds something that is not a SHA-256 hash.")
    node, first, last = leaf, index, size - 1
    for sibling in proof:
        if last == 0:
            raise Tampered("The inclusion proof is longer than its tree is high.")
        if first & 1 or first == last:
            node = node_hash(sibling, node)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        first, last = first >> 1, last >> 1
    if last != 0 or not hmac.compare_digest(node, root):
        raise Tampered("The inclusion proof does not lead to the root.")


def verify_consistency(
    *, old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of ``old_size`` is a prefix of the tree of ``new_size`` (RFC 9162 section 2.1.4.2).

    Raises:
        Tampered: it is not, or the proof is not one. From the empty tree nothing can be proven, so that is an
            error too: it would be true of every log.
    """
    if not 0 < old_size <= new_size:
        raise Tampered("The consistency proof is between sizes that prove nothing.")
    if old_size == new_size:
        if proof or not hmac.compare_digest(old_root, new_root):
            raise Tampered("Two trees of one size have different roots, or a proof where none is needed.")
        return
    if any(len(node) != _HASH_BYTES for node in proof):
        raise Tampered("The consistency proof holds something that is not a SHA-256 hash.")
    # A perfect old tree is itself the first node of the path, so the proof leaves it out.
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    if not path:
        raise Tampered("The consistency proof is empty.")
    first, last = old_size - 1, new_size - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    old_node = new_node = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise Tampered("The consistency proof is longer than its tree is high.")
        if first & 1 or first == last:
            old_node = node_hash(sibling, old_node)
            new_node = node_hash(sibling, new_node)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            new_node = node_hash(new_node, sibling)
        first, last = first >> 1, last >> 1
    if last != 0:
        raise Tampered("The consistency proof is shorter than its tree is high.")
    if not hmac.compare_digest(old_node, old_root) or not hmac.compare_digest(new_node, new_root):
        raise Tampered("The consistency proof does not lead to both roots.")
