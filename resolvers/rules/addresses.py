"""Which addresses are global unicast. The list is explicit, so that the result does not depend on the version of
Python.

Sources, read in November 2026: the IANA registries "IPv4 Special-Purpose Address Space", "IPv6 Special-Purpose Address
Space" (RFC 6890, RFC 8190), "IPv4 Multicast Address Space" and "IPv6 Global Unicast Address Space", with the RFC of
each entry, and the vendors' documentation for public addresses of a cloud's own platform. Entries that the registries
call globally reachable (anycast, AS112) are listed too: no receiver of events has such an address.
"""

import re
import unicodedata
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import unquote, urlsplit

SPECIAL_IPV4 = {
    "0.0.0.0/8": "this network, RFC 791",
    "10.0.0.0/8": "private use, RFC 1918",
    "100.64.0.0/10": "shared address space, RFC 6598",
    "127.0.0.0/8": "loopback, RFC 1122",
    "169.254.0.0/16": "link local, RFC 3927",
    "172.16.0.0/12": "private use, RFC 1918",
    "192.0.0.0/24": "IETF protocol assignments, RFC 6890",
    "192.0.2.0/24": "documentation, RFC 5737",
    "192.31.196.0/24": "AS112, RFC 7535",
    "192.52.193.0/24": "AMT, RFC 7450",
    "192.88.99.0/24": "6to4 relay anycast, RFC 7526",
    "192.168.0.0/16": "private use, RFC 1918",
    "192.175.48.0/24": "AS112, RFC 7534",
    "198.18.0.0/15": "benchmarking, RFC 2544",
    "198.51.100.0/24": "documentation, RFC 5737",
    "203.0.113.0/24": "documentation, RFC 5737",
    "224.0.0.0/4": "multicast, RFC 5771",
    "240.0.0.0/4": "reserved and broadcast, RFC 1112 and RFC 8190",
    "168.63.129.16/32": "Azure platform (Microsoft: What is IP address 168.63.129.16?)",
    "161.26.0.0/16": "IBM Cloud services (IBM: Available endpoints and IP ranges)",
    "166.8.0.0/14": "IBM Cloud service endpoints (IBM: Available endpoints and IP ranges)",
    "199.36.153.4/30": "restricted.googleapis.com (Google: Configure Private Google Access)",
    "199.36.153.8/30": "private.googleapis.com (Google: Configure Private Google Access)",
}
GLOBAL_UNICAST_IPV6 = IPv6Network("2000::/3")  # RFC 4291; all that IANA has assigned
SPECIAL_IPV6 = {
    "2001::/23": "IETF protocol assignments with Teredo, benchmarking and ORCHID, RFC 2928 and RFC 4380",
    "2001:db8::/32": "documentation, RFC 3849",
    "2002::/16": "6to4, RFC 3056 and RFC 7526",
    "2600:2d00:2:1000::/64": "restricted.googleapis.com (Google: Configure Private Google Access)",
    "2600:2d00:2:2000::/64": "private.googleapis.com (Google: Configure Private Google Access)",
    "2620:4f:8000::/48": "AS112, RFC 7534",
    "3ffe::/16": "6bone, returned, RFC 3701",
    "3fff::/20": "documentation, RFC 9637",
}
# Networks whose addresses hold an IPv4 address in the last 32 bits and reach the same host.
EMBEDDING = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))  # IPv4-mapped, RFC 4291; NAT64, RFC 6052
ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214: bits 64 to 95 of an address of any prefix
_IPV4 = [IPv4Network(network) for network in SPECIAL_IPV4]
_IPV6 = [IPv6Network(network) for network in SPECIAL_IPV6]


def is_public(address: str) -> bool:
    """Whether an address, as a resolver returns it, is global unicast. An address with a zone never is."""
    try:
        return _is_public_ipv4(IPv4Address(address))
    except AddressValueError:
        pass
    try:
        return "%" not in address and _is_public_ipv6(IPv6Address(address))
    except AddressValueError:
        return False


def _is_public_ipv4(address: IPv4Address) -> bool:
    return not any(address in network for network in _IPV4)


def _is_public_ipv6(address: IPv6Address) -> bool:
    if any(address in network for network in EMBEDDING):
        return _is_public_ipv4(IPv4Address(int(address) & 0xFFFFFFFF))
    is_isatap = int(address) >> 32 & 0xFFFFFFFF in ISATAP
    return address in GLOBAL_UNICAST_IPV6 and not is_isatap and not any(address in network for network in _IPV6)


def may_be_public(url: str) -> bool:
    """Whether the host of a URL can be public. Any name can be, except localhost. An address in any form must be
    public."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    # As clients and resolvers read it: percent-encoded, with digits and dots of other scripts, with a dot at the end.
    host = re.sub("[\u3002\uff61]", ".", unicodedata.normalize("NFKC", unquote(host))).lower().rstrip(".")
    if ":" in host or "[" in parts.netloc:
        return is_public(host)
    labels = host.split(".")
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1], re.ASCII):
        address = _ipv4_of(labels)
        return address is not None and _is_public_ipv4(address)
    return re.fullmatch(r"[\w-]+", labels[-1]) is not None and labels[-1] != "localhost" and "" not in labels


def _ipv4_of(labels: list[str]) -> IPv4Address | None:
    """An address in the forms of inet_aton: one to four decimal, octal or hexadecimal numbers, the last of which fills
    the remaining bytes."""
    try:
        numbers = [_number(label) for label in labels]
    except ValueError:
        return None
    *high, last = numbers
    if len(numbers) > 4 or any(part > 255 for part in high) or last >= 256 ** (4 - len(high)):
        return None
    return IPv4Address(sum(part << 8 * (3 - place) for place, part in enumerate(high)) + last)


def _number(label: str) -> int:
    if not re.fullmatch(r"[0-9]+|0x[0-9a-f]*", label, re.ASCII):
        raise ValueError(label)
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8) if label.startswith("0") and len(label) > 1 else int(label)
