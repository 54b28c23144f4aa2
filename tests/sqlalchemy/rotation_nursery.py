"""A process that makes children who re-encrypt a table until they are killed. Run by test_rotation_kill.py.

Everything is imported once here, so that a child costs a fork and not a start of Python.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import sqlalchemy as sa

from portalsec.cli.fields import _State
from portalsec.crypto import EncryptedField, Keyset
from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.rotation import Reencrypt
from portalsec.sqlalchemy.cells import EncryptedTable

BATCH = 20

patients = sa.Table(
    "patients",
    sa.MetaData(),
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("phone", sa.LargeBinary),
    sa.Column("phone_tag", sa.LargeBinary, index=True),
)


def field_of(keys: Keyset) -> EncryptedField[str, bytes]:
    return EncryptedField(keys, table="patients", column="phone")


def index_of(keys: Keyset) -> BlindIndex[str]:
    return BlindIndex(keys, table="patients", column="phone", bits=32)


def reencrypt(folder: Path, url: str, leave: int) -> None:
    """Go on from where the last child was; a line for each batch that is committed, and a byte of ``leave`` for the next.

    Without leave a busy machine, on which the test that kills is late, would let it come to the end.
    """
    keys, prf = (Keyset.from_json((folder / name).read_text()) for name in ("fields.json", "index.json"))
    tasks = [Reencrypt(field=field_of(keys), column="phone", tags={"phone_tag": index_of(prf)})]
    engine = sa.create_engine(url)
    state = _State(folder / "state.json", "patients", "of the test")
    for progress in (
        EncryptedTable(table=patients, tasks=tasks).over(engine, batch=BATCH).run(state.cursors.get("t"))
    ):
        state.keep("t", progress.cursor)
        assert not progress.failures, progress.failures
        os.write(1, b"batch\n")
        os.read(leave, 1)
    os.write(1, b"end\n")


def main() -> None:
    folder, url, leave = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    for _ in sys.stdin:  # a line asks for a child
        child = os.fork()
        if child == 0:
            status = 1
            try:
                reencrypt(folder, url, leave)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.write(1, f"pid {child}\n".encode())
        _, how = os.waitpid(child, 0)
        # 0 for one that came to its end, -9 for one that was killed: a child that failed is neither
        os.write(1, f"gone {os.waitstatus_to_exitcode(how)}\n".encode())


if __name__ == "__main__":
    main()
