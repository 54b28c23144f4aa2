"""The package hands on names and is light."""

from __future__ import annotations

import subprocess
import sys

import portalsec.crypto


def test_every_name_is_there():
    assert sorted(portalsec.crypto.__all__) == sorted(set(portalsec.crypto.__all__))
    for name in portalsec.crypto.__all__:
        assert hasattr(portalsec.crypto, name)


def test_importing_it_loads_no_third_party_package_and_no_raw_export():
    code = (
        "import sys; before = set(sys.modules); import portalsec.crypto; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - sys.stdlib_module_names), 'portalsec.crypto.insecure' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[0] == "['portalsec'] False"
