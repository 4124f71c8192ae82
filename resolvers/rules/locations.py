"""Recognizes credentials in a URI, and removes them.

Every reader of such a URI could use its credentials, so none is stored. The database's function shown_uri removes the
same parts from URIs that earlier versions stored. A test keeps the two equal.
"""

import re
import unicodedata
from typing import NamedTuple
from urllib.parse import unquote

CUT = "***"
BEFORE_HOST = "a user name or password before the host"
# A parameter holds a credential if its name ends with one of these; a hyphen stands for any or no separator.
ENDINGS = [
    "token",
    "signature",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "credential",
    "credentials",
    "api-key",
    "access-key",
    "access-key-id",
    "account-key",
    "secret-key",
    "private-key",
    "subscription-key",
    "session-id",
    "jwt",
]
# Or if its name is one of these.
NAMES = ["sig", "pwd", "pass", "auth", "authorization"]


class Part(NamedTuple):
    """A place for credentials in a URI: its pattern, its replacement, and its name."""

    pattern: str
    kept: str
    name: str


def _words(words: list[str]) -> str:
    """A pattern of these words, with each character plain or percent-encoded, in upper or lower case."""
    return "|".join("".join(map(_character, word)) for word in words)


def _character(letter: str) -> str:
    if letter == "-":
        return "(?:[-_.]|%2d|%5f|%2e)?"
    low, high = f"{ord(letter.upper()):x}", f"{ord(letter):x}"
    return f"(?:{letter}|%{low}|%{high})"


# The database uses the same patterns, so they contain only syntax that Python and PostgreSQL share. PostgreSQL takes
# the longest match.
PARTS = (
    Part(r"((?:^|:)//)[^/?#@]*(?::|%3a)[^/?#]*@", rf"\1{CUT}@", BEFORE_HOST),
    # A password with a slash, unless the colon is followed by a port.
    Part(r"((?:^|:)//)[^/?#@:\[\]]*:(?![0-9]*(?:[/?#&]|$))[^@]*@", rf"\1{CUT}@", BEFORE_HOST),
    # RFC 9110, 4.2.4: an http address has no user. If it has one, that is often a token.
    Part(r"((?:^|[^a-z0-9])https?://)[^/?#]*@", rf"\1{CUT}@", BEFORE_HOST),
    # An address within an address.
    Part(r"((?::|%3a)%2f%2f)(?:(?!%2f|%40)[^/?#&@])*%3a(?:(?!%2f)[^/?#&])*%40", rf"\1{CUT}%40", BEFORE_HOST),
    Part(rf"((?:{_words(ENDINGS)})(?:=|%3d))[^&#]+", rf"\1{CUT}", 'a parameter whose name ends with "{}"'),
    Part(rf"((?:[?&;#=]|%3f|%26|%3b|%23)(?:{_words(NAMES)})(?:=|%3d))[^&#]+", rf"\1{CUT}", 'the parameter "{}"'),
)
PATTERNS = [(re.compile(part.pattern, re.IGNORECASE | re.ASCII), part) for part in PARTS]


# Without any of these, a URI only names a place, such as s3://data/token=hourly/part-0.
SUSPICIOUS = re.compile("[@?;#%]")


def without_credentials(uri: str) -> str:
    if not SUSPICIOUS.search(uri):
        return uri
    for pattern, part in PATTERNS:
        uri = pattern.sub(part.kept, uri)
    return uri


def credential_in(uri: str) -> str | None:
    """The name of the first kind of credential in a URI. It quotes nothing of the URI: any part could be secret."""
    if not SUSPICIOUS.search(uri):
        return None
    for pattern, part in PATTERNS:
        for match in pattern.finditer(uri):
            if match.expand(part.kept) != match[0]:
                return part.name.format(unquote(match[1]).strip("?&;#=").lower())
    return None


# Further names that services use for credentials. Checked for new addresses only, the last two only for http.
FURTHER_NAMES = frozenset({
    "__token__", "authkey", "auth_key", "bearer", "hdnea", "hdnts", "hmac", "pat", "rlkey", "sas", "secret_id", "sign",
})  # fmt: skip
OVER_HTTP = frozenset({"code", "key"})
# With any number of slashes, as lenient clients accept them.
LENIENT_USER = re.compile(r"https?:/*[^/?#]*@|[a-z][a-z0-9+.-]*:/*[^/?#@]*:[^/?#@]*@", re.IGNORECASE | re.ASCII)
JDBC_USER = re.compile(r"jdbc:oracle:[a-z]+:[^@]+/[^@]*@", re.IGNORECASE | re.ASCII)


def hidden_credential_in(uri: str) -> str | None:
    """Like `credential_in`, for a new address. Also checks how a lenient client reads it: decoded twice, with
    backslashes as slashes and wide characters as narrow ones."""
    plain = uri
    for _ in range(3):
        plain = unicodedata.normalize("NFKC", unquote(plain)).replace("\\", "/")
    if LENIENT_USER.match(plain) or JDBC_USER.match(plain):
        return BEFORE_HOST
    names = {_name(part) for part in re.split("[?&;#]", plain)[1:] if "=" in part}
    known = FURTHER_NAMES | OVER_HTTP if plain.lower().startswith(("http:", "https:")) else FURTHER_NAMES
    if secrets := sorted(names & known):
        return f'the parameter "{secrets[0]}"'
    return credential_in(uri) or credential_in("?".join([plain.partition("?")[0], *(f"{name}=x" for name in names)]))


def _name(part: str) -> str:
    return "".join(c for c in part.partition("=")[0].lower() if c.isprintable()).strip().removesuffix("[]").strip()
