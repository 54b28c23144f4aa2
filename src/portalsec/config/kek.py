"""``[keys] kek``: from a reference to the key-encryption key that opens the keyset files.

==================  ==========================================================================================
``file:PATH``       a keyset of this machine, for encryption (``env:NAME`` likewise)
``aws-kms://ARN``   AWS KMS; credentials and endpoint come to boto3 in its own ways
``hcvault://HOST/transit/keys/NAME``   Vault or OpenBao Transit over https, with ``?token-source=file:PATH``
                    (``env:VAULT_TOKEN`` by default), ``namespace=`` and ``ca-file=``;
                    ``hcvault+http://`` for an agent on the loopback address
``pkcs11:...``      RFC 7512, with ``module-path=`` and ``pin-source=file:PATH`` or ``env:NAME``
==================  ==========================================================================================

Nothing is asked here beyond the local keyset; the first keyset that is opened asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from portalsec.config.keys import resolve_reference
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.kms import AwsKmsAead, Pkcs11Aead, Pkcs11Uri, VaultTransitAead
from portalsec.crypto.ports import Aead
from portalsec.errors import ConfigurationError, MissingExtra
from portalsec.secret import Secret

__all__ = ["open_kek"]

_AWS = "aws-kms://"
_VAULT = {"hcvault": "https", "hcvault+http": "http"}
_TRANSIT = "a Transit key is named as hcvault://vault.example:8200/transit/keys/NAME"
_VAULT_OPTIONS = frozenset({"token-source", "namespace", "ca-file"})


def open_kek(reference: str, *, key: str, base: Path, env: Mapping[str, str]) -> Aead:
    """The key-encryption key behind a reference.

    Args:
        reference: as above. It holds no secret: tokens and PINs are references themselves, read at each use.
        key: what to call the setting in messages.
        base: folder that relative paths start from.
        env: the environment.

    Raises:
        ConfigurationError: not such a reference, or what it names is not there.
        MissingExtra: the provider's library is not installed.
    """
    secret = partial(resolve_reference, key=key, base=base, env=env)
    try:
        if reference.startswith(_AWS):
            return _aws(reference.removeprefix(_AWS))
        if reference.startswith("pkcs11:"):
            return _pkcs11(reference, secret, base)
        scheme, mark, _ = reference.partition("://")
        if mark and scheme in _VAULT:
            return _vault(reference, secret, base)
        if reference.startswith(("file:", "env:")):
            return Keyset.from_json(secret(reference)).aead()
    except MissingExtra:
        raise
    except ConfigurationError as error:
        problem = str(error)
    else:
        # The value itself is not printed: it may be a secret that somebody pasted.
        problem = "write file:PATH, env:NAME, aws-kms://ARN, hcvault://HOST/transit/keys/NAME or pkcs11:..."
    raise ConfigurationError(problem if problem.startswith(key) else f"{key}: {problem}")


def _aws(arn: str) -> Aead:
    region = AwsKmsAead.region(arn)
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ModuleNotFoundError as error:
        raise MissingExtra("aws", package="boto3") from error
    # A start waits for at most a few seconds, and then says what is wrong.
    patience = Config(
        connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2}
    )
    try:
        client: Any = boto3.session.Session().client("kms", region_name=region, config=patience)
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(
            f"boto3 cannot make a client of AWS KMS ({type(error).__name__}): see its profile, endpoint and credentials"
        ) from error
    return AwsKmsAead(client, arn)


def _vault(reference: str, secret: Callable[[str], Secret[str]], base: Path) -> Aead:
    try:
        parts = urlsplit(reference)
    except ValueError:
        raise ConfigurationError(_TRANSIT) from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = options.keys() - _VAULT_OPTIONS
    *mount, keys, name = ["", "", *(unquote(part) for part in parts.path.strip("/").split("/"))]
    mount = [part for part in mount if part]
    if (
        keys != "keys"
        or not mount
        or parts.fragment
        or len(options) != len(parts.query.split("&")) * bool(options)
    ):
        raise ConfigurationError(_TRANSIT)
    if unknown:
        raise ConfigurationError(
            f"hcvault:// has an option that is not known: known are {', '.join(sorted(_VAULT_OPTIONS))}"
        )
    ca_file = options.get("ca-file")
    return VaultTransitAead(
        f"{_VAULT[parts.scheme]}://{parts.netloc}",
        name,
        mount="/".join(mount),
        token=partial(secret, options.get("token-source", "env:VAULT_TOKEN")),
        namespace=options.get("namespace"),
        ca_file=None if ca_file is None else base / ca_file,
    )


def _pkcs11(reference: str, secret: Callable[[str], Secret[str]], base: Path) -> Aead:
    uri = Pkcs11Uri.parse(reference)
    if not (base / uri.module).is_file():
        raise ConfigurationError(
            f"the PKCS #11 library {uri.module} is missing: install it, or correct module-path="
        )
    # What was found is what is loaded: the loader would look for a bare name elsewhere.
    uri = replace(uri, module=(base / uri.module).absolute())
    return Pkcs11Aead(uri, pin=None if uri.pin_source is None else partial(secret, uri.pin_source))
