"""Management commands of an example, each in a process of its own that is forked from one which has imported everything.

What a command does takes a fraction of a second; the imports before it take more than one. Nothing of a portal is open in
the process that forks: neither keys nor a database.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

__all__ = ["ForkedCommands"]

_PATIENCE = 120


class ForkedCommands:
    """Runs ``manage.py`` commands. Close it at the end."""

    def __init__(self, manage: Path, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", __file__, manage.parent, manage.parents[2]],
            cwd=manage.parents[2],
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """As ``subprocess.run`` of ``manage.py`` with these arguments."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline()
        assert said, "what forks the commands has ended"
        code, out, error = json.loads(said)
        return subprocess.CompletedProcess(arguments, code, out, error)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(_PATIENCE)
        self._process.stdout.close()


def _serve() -> None:
    import tempfile

    sys.path[0] = sys.argv[1]
    sys.path.append(sys.argv[2])
    import django

    django.setup()
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
            child = os.fork()
            if child == 0:
                os.dup2(out.fileno(), 1)
                os.dup2(error.fileno(), 2)
                os._exit(_command(json.loads(line)))
            _, status = os.waitpid(child, 0)
            out.seek(0)
            error.seek(0)
            answer = [os.waitstatus_to_exitcode(status), out.read(), error.read()]
        print(json.dumps(answer), flush=True)


def _command(arguments: list[str]) -> int:
    from django.core.management import execute_from_command_line

    code = 0
    try:
        execute_from_command_line(["manage.py", *arguments])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1 if end.code else 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    _serve()
