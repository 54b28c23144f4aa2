from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from portalsec.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from portalsec.errors import Tampered
from tests.support import shared

leaves_of = st.lists(st.binary(max_size=40), min_size=1, max_size=70)


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def b64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def probes(kind: str) -> list[tuple[Path, dict]]:
    files = sorted(shared("vectors", "audit", "rfc6962").joinpath(kind).rglob("*.json"))
    return [(file, json.loads(file.read_text())) for file in files]


def test_rfc6962_inclusion_probes() -> None:
    cases = probes("inclusion")
    assert len(cases) == 98
    for file, case in cases:
        arguments = {
            "leaf": b64(case["leafHash"]),
            "index": case["leafIdx"],
            "size": case["treeSize"],
            "proof": [b64(node) for node in case["proof"] or []],
            "root": b64(case["root"]),
        }
        if case["wantErr"]:
            with pytest.raises(Tampered):
                verify_inclusion(**arguments)
                pytest.fail(f"accepted {file}")
        else:
            verify_inclusion(**arguments)


def test_rfc6962_consistency_probes() -> None:
    cases = probes("consistency")
    assert len(cases) == 98
    for file, case in cases:
        arguments = {
            "old_size": case["size1"],
            "old_root": b64(case["root1"]),
            "new_size": case["size2"],
            "new_root": b64(case["root2"]),
            "proof": [b64(node) for node in case["proof"] or []],
        }
        if case["wantErr"]:
            with pytest.raises(Tampered):
                verify_consistency(**arguments)
                pytest.fail(f"accepted {file}")
        else:
            verify_consistency(**arguments)


def test_golden_log_hashes_to_its_tiles_and_roots() -> None:
    golden = shared("vectors", "audit", "golden")
    lines = golden.joinpath("log.jsonl").read_bytes().split(b"\n")[:-1]
    leaves = [leaf_hash(line) for line in lines]
    assert len(leaves) == 1000
    tiles = [golden / "tlog" / "tile" / "0" / name for name in ("000", "001", "002", "003.p/232")]
    assert b"".join(leaves) == b"".join(tile.read_bytes() for tile in tiles)
    for case in json.loads(golden.joinpath("consistency.json").read_text()):
        old, new = case["size1"], case["size2"]
        proof = [b64(node) for node in case["proof"]]
        assert tree_root(leaves[:old]) == b64(case["root1"])
        assert tree_root(leaves[:new]) == b64(case["root2"])
        assert consistency_proof(leaves[:new], old) == proof
        verify_consistency(
            old_size=old, old_root=b64(case["root1"]), new_size=new, new_root=b64(case["root2"]), proof=proof
        )


def test_golden_inclusion_proofs() -> None:
    golden = shared("vectors", "audit", "golden")
    leaves = [leaf_hash(line) for line in golden.joinpath("log.jsonl").read_bytes().split(b"\n")[:-1]]
    files = sorted(golden.joinpath("proof").iterdir())
    assert len(files) == 7
    for file in files:
        head, _, _ = file.read_text().partition("\n\n")
        index, *nodes = head.split("\n")[1:]
        number = int(index.removeprefix("index "))
        proof = [b64(node) for node in nodes]
        assert inclusion_proof(leaves, number) == proof
        verify_inclusion(leaf=leaves[number], index=number, size=1000, proof=proof, root=tree_root(leaves))


@given(leaves_of)
def test_roots_and_proofs_are_those_of_pymerkle(entries: list[bytes]) -> None:
    other = InmemoryTree.init_from_entries(entries, algorithm="sha256")
    leaves = [leaf_hash(entry) for entry in entries]
    assert leaves[-1] == other.get_leaf(len(entries))
    frontier = Frontier()
    for size, leaf in enumerate(leaves, 1):
        frontier.append(leaf)
        assert frontier.root() == other.get_root(size) == naive_root(leaves[:size])
    for index in range(len(leaves)):
        theirs = other.prove_inclusion(index + 1)
        ours = inclusion_proof(leaves, index)
        assert [leaves[index], *ours] == [bytes.fromhex(node) for node in theirs.serialize()["path"]]


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=130))
def test_frontier_root_is_the_definition(leaves: list[bytes]) -> None:
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT
    frontier.extend(leaves)
    assert frontier.size == len(leaves)
    assert frontier.root() == naive_root(leaves)


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=40), st.binary(min_size=32, max_size=32))
def test_a_copied_frontier_goes_its_own_way(leaves: list[bytes], extra: bytes) -> None:
    frontier = Frontier()
    frontier.extend(leaves)
    other = frontier.copy()
    other.append(extra)
    assert frontier.root() == naive_root(leaves)
    assert other.root() == naive_root([*leaves, extra])


@given(st.data())
def test_every_proof_verifies_and_only_in_its_place(data: st.DataObject) -> None:
    leaves = [leaf_hash(entry) for entry in data.draw(leaves_of)]
    size, root = len(leaves), tree_root(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(leaves, index)
    verify_inclusion(leaf=leaves[index], index=index, size=size, proof=proof, root=root)
    with pytest.raises(Tampered):
        verify_inclusion(leaf=leaf_hash(leaves[index]), index=index, size=size, proof=proof, root=root)
    with pytest.raises(Tampered):
        verify_inclusion(leaf=leaves[index], index=index, size=size, proof=[*proof, root], root=root)
    other = data.draw(st.integers(0, size - 1).filter(lambda i: leaves[i] != leaves[index]) | st.just(size))
    with pytest.raises(Tampered):
        verify_inclusion(leaf=leaves[index], index=other, size=size, proof=proof, root=root)

    old = data.draw(st.integers(1, size))
    old_root, path = tree_root(leaves[:old]), consistency_proof(leaves, old)
    verify_consistency(old_size=old, old_root=old_root, new_size=size, new_root=root, proof=path)
    with pytest.raises(Tampered):
        verify_consistency(
            old_size=old, old_root=node_hash(old_root, root), new_size=size, new_root=root, proof=path
        )
    if path:
        with pytest.raises(Tampered):
            verify_consistency(old_size=old, old_root=old_root, new_size=size, new_root=root, proof=path[:-1])


def test_a_node_is_no_leaf() -> None:
    """Second preimage: an inner node offered as a leaf of a smaller tree."""
    leaves = [leaf_hash(bytes([n])) for n in range(4)]
    left, right = node_hash(*leaves[:2]), node_hash(*leaves[2:])
    assert leaf_hash(leaves[0] + leaves[1]) != left
    # As hashes they verify, as they must; what protects is that no line of text hashes to an inner node.
    verify_inclusion(leaf=left, index=0, size=2, proof=[right], root=tree_root(leaves))


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3)])
def test_no_inclusion_proof_outside_the_tree(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="not in a tree"):
        inclusion_proof([b"\x00" * 32] * size, index)


@pytest.mark.parametrize("old", [0, 4, -1])
def test_no_consistency_proof_from_nothing_or_the_future(old: int) -> None:
    with pytest.raises(ValueError, match="no consistency proof"):
        consistency_proof([b"\x00" * 32] * 3, old)
