"""`make check` runs this in an environment that holds the built wheel and the base install, and nothing else.

It is a script and not a test: pytest would bring packages that are not there for a user of the base install.
What it holds: the wheel is what was imported; ``import portalsec`` loads no third-party package; every module of
the package either imports or says which extra it needs, in one sentence; the core modules import; ``python -m``
and the console script end without a traceback.
"""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import sysconfig
from pathlib import Path

CORE = ("auth", "audit", "crypto", "rbac")
FLOOR = ("errors", "events", "typing", "clock", "secret", "portal", "config", "guard", "web")
NEEDS = {  # module that must refuse without its extra -> name of the extra
    "portalsec.sqlalchemy": "sqlalchemy",
    "portalsec.stores.redis": "redis",
    "portalsec.auth.qr": "qr",
    "portalsec.fastapi": "fastapi",
    "portalsec.django": "django",
    "portalsec.testing.contracts": "testing",
    "portalsec.testing.fixtures": "testing",
}
BASE = {"argon2", "cryptography", "pyotp", "webauthn", "zxcvbn"}

problems: list[str] = []


def expect(holds: bool, sentence: str) -> None:
    if not holds:
        problems.append(sentence)


def check_light() -> None:
    """``import portalsec`` on its own loads the standard library and portalsec."""
    site = Path(sysconfig.get_path("purelib")).resolve()
    import portalsec

    expect(
        Path(portalsec.__file__).resolve().is_relative_to(site), "portalsec was not imported from the wheel"
    )
    expect((Path(portalsec.__file__).parent / "py.typed").is_file(), "the wheel has no py.typed")
    third_party = {
        name.partition(".")[0]
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) and Path(file).resolve().is_relative_to(site)
    } - {"portalsec"}
    third_party = {name for name in third_party if not name.startswith(("_distutils", "__editable"))}
    expect(not third_party, f"import portalsec is not light: it loaded {sorted(third_party)}")
    for name in portalsec.__all__:
        try:
            getattr(portalsec, name)
        except Exception as error:
            problems.append(f"portalsec.{name} cannot be had: {type(error).__name__}: {error}")


def check_modules() -> tuple[list[str], dict[str, str]]:
    """Import every module; those that cannot be had without an extra say so."""
    import portalsec
    from portalsec.errors import MissingExtra

    imported: list[str] = []
    refused: dict[str, str] = {}

    def visit(path: list[str], prefix: str) -> None:
        for found in pkgutil.iter_modules(path, prefix):
            try:
                module = importlib.import_module(found.name)
            except MissingExtra as missing:
                refused[found.name] = missing.extra
                wanted = f'pip install "portalsec[{missing.extra}]"'
                expect(wanted in str(missing), f"{found.name}: the sentence lacks {wanted}")
                expect("\n" not in str(missing), f"{found.name}: not one sentence")
                continue  # what lies inside a package that refuses cannot be had either
            except Exception as error:
                problems.append(f"{found.name} raised {type(error).__name__}: {error}")
                continue
            imported.append(found.name)
            if found.ispkg:
                visit(list(module.__path__), found.name + ".")

    visit(list(portalsec.__path__), "portalsec.")
    return imported, refused


def check_expectations(imported: list[str], refused: dict[str, str]) -> None:
    for name in (*CORE, *FLOOR):
        expect(f"portalsec.{name}" in imported, f"portalsec.{name} does not import on the base install")
    for name, extra in refused.items():
        part = name.split(".")[1]
        expect(part not in CORE or name in NEEDS, f"core module {name} asks for the extra [{extra}]")
    for name, extra in NEEDS.items():
        got = next((refused[parent] for parent in _lineage(name) if parent in refused), None)
        expect(
            got == extra,
            f"{name} should refuse and name the extra [{extra}]; it {'imports' if got is None else f'names [{got}]'}",
        )


def _lineage(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(2, len(parts) + 1)]


def check_console() -> None:
    """Without click the command says which extra it needs."""
    script = Path(sysconfig.get_path("scripts")) / "portalsec"
    expect(script.is_file(), "the wheel installs no portalsec command")
    if not script.is_file():
        return
    run = subprocess.run([str(script)], capture_output=True, text=True, check=False)
    expect(run.returncode != 0, "portalsec exits 0 without its extra")
    expect('pip install "portalsec[cli]"' in run.stderr, f"portalsec does not name its extra: {run.stderr!r}")
    expect("Traceback" not in run.stderr, "portalsec prints a traceback without its extra")


def check_wheel_holds_only_the_package() -> None:
    from importlib.metadata import files

    outside = {
        path.parts[0]
        for path in files("portalsec") or ()
        if path.parts[0] not in {"portalsec", ".."} and not path.parts[0].endswith(".dist-info")
    }
    expect(not outside, f"the wheel also installs {sorted(outside)}")


def main() -> int:
    check_light()
    imported, refused = check_modules()
    check_expectations(imported, refused)
    check_console()
    check_wheel_holds_only_the_package()
    for problem in problems:
        print(f"wheel: {problem}", file=sys.stderr)
    if not problems:
        print(
            f"wheel: {len(imported)} modules import on the base install; "
            f"{len(refused)} name their extra ({', '.join(sorted(set(refused.values())))})"
        )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
