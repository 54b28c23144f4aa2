"""Which addresses are one visitor."""

from __future__ import annotations

import ipaddress

__all__ = ["UNKNOWN", "address_network", "address_prefix"]

UNKNOWN = "unknown"
_MAX_ADDRESS = 64
# RFC 6052 section 2.1: an IPv4 host seen through a translator. All of them would share one /64.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def address_prefix(address: str | None) -> str:
    """The part of an address that stands for one visitor: IPv4 /24, IPv6 /64. Pure.

    Whoever has one IPv6 address has the whole /64 to vary, and one address has many spellings: brackets, a port, a
    zone id and white space are dropped. An IPv6 address that stands for an IPv4 one counts as that one: mapped
    (``::ffff:192.0.2.1``), translated (``64:ff9b::192.0.2.1``, RFC 6052) and 6to4 (``2002:c000:201::1``, RFC 3056,
    where one IPv4 address would otherwise have 65,536 prefixes). Teredo addresses count as the /64 of their server.
    What is no address is ``"unknown"``: one budget for all of them, so that garbage does not buy a fresh one.
    """
    return _prefix(address, 24, 64)


def address_network(address: str | None) -> str:
    """The network that an address belongs to, about as wide as one provider's: IPv4 /16, IPv6 /32. Pure.

    Spellings, addresses inside addresses and what is none are as for `address_prefix`.
    """
    return _prefix(address, 16, 32)


def _prefix(address: str | None, four: int, six: int) -> str:
    if not address or len(address) > _MAX_ADDRESS:
        return UNKNOWN
    text = address.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(parsed, ipaddress.IPv6Address):
        inside = _inside(parsed)
        if inside is None:
            rest = 128 - six
            return str(ipaddress.IPv6Network((int(parsed) >> rest << rest, six)))
        parsed = inside
    rest = 32 - four
    return str(ipaddress.IPv4Network((int(parsed) >> rest << rest, four)))


def _inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
