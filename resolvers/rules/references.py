"""The forms of digests and addresses that other formats require. Lineal itself stores them unchanged, in any form."""

import re

# The names in CycloneDX, each with its number of hexadecimal digits.
ALGORITHMS = {
    "md5": ("MD5", 32),
    "sha1": ("SHA-1", 40),
    "sha256": ("SHA-256", 64),
    "sha384": ("SHA-384", 96),
    "sha512": ("SHA-512", 128),
}


def known_digest(digest: str | None) -> tuple[str, str] | None:
    """The algorithm and the digits of a digest such as `sha256:9f86…`. None for any other text."""
    name, _, digits = (digest or "").partition(":")
    algorithm, length = ALGORITHMS.get(name.lower(), ("", 0))
    return (algorithm, digits) if algorithm and re.fullmatch(f"[0-9A-Fa-f]{{{length}}}", digits) else None


# RFC 3987, except for host addresses in brackets, characters beyond 16 bits and private ones, which not all validators
# accept.
_CHARACTER = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef]|%[0-9A-Fa-f]{2})"
_SEGMENT = rf"(?:{_CHARACTER}|[:@])*"
_AUTHORITY = rf"//(?:(?:{_CHARACTER}|:)*@)?{_CHARACTER}*(?::[0-9]*)?(?:/{_SEGMENT})*"
_ABSOLUTE = rf"/(?!/){_SEGMENT}(?:/{_SEGMENT})*"
_ROOTLESS = rf"(?!/){_SEGMENT}(?:/{_SEGMENT})*"
# Without a scheme, a colon before the first slash would be read as the end of one.
_RELATIVE = rf"(?![^/?#]*:){_ROOTLESS}"
_MORE = rf"(?:{_CHARACTER}|[:@/?])*"
_IRI_REFERENCE = re.compile(
    rf"(?:[A-Za-z][A-Za-z0-9+.\-]*:(?:{_AUTHORITY}|{_ABSOLUTE}|{_ROOTLESS})|{_AUTHORITY}|{_ABSOLUTE}|{_RELATIVE})"
    rf"(?:\?{_MORE})?(?:\#{_MORE})?"
)


def is_iri_reference(text: str) -> bool:
    return _IRI_REFERENCE.fullmatch(text) is not None
