"""The GraphiQL page. Lineal serves its files. If set-up found no npm, a CDN serves them, with the same hashes."""

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from pathlib import Path
from string import Template

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse
from starlette.routing import Route

PREFIX = "/graphiql"
CDN = "https://cdn.jsdelivr.net/npm"
HERE = Path(__file__).parent
INSTALLED = HERE / "graphiql_assets"
EXAMPLES = HERE / "examples"
OWN = ("graphiql.css", "graphiql.js")
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css"}


@dataclass(frozen=True)
class Bundle:
    """A file of an npm package, as `scripts/setup-graphiql` installs it and as the CDN serves it."""

    package: str
    version: str
    file: str
    integrity: str

    @property
    def path(self) -> str:
        return f"{self.package}/{self.file}"

    @property
    def cdn(self) -> str:
        return f"{CDN}/{self.package}@{self.version}/{self.file}"


# In the order in which the page must run them; `tests/test_graphiql.py` compares the hashes with the installed files.
BUNDLES = (
    Bundle(
        "react",
        "18.3.1",
        "umd/react.production.min.js",
        "sha384-DGyLxAyjq0f9SPpVevD6IgztCFlnMF6oW/XQGmfe+IsZ8TqEiDrcHkMLKI6fiB/Z",
    ),
    Bundle(
        "react-dom",
        "18.3.1",
        "umd/react-dom.production.min.js",
        "sha384-gTGxhz21lVGYNMcdJOyq01Edg0jhn/c22nsx0kyqP0TxaV5WVdsSH1fSDUf5YJj1",
    ),
    Bundle(
        "graphiql",
        "3.9.0",
        "graphiql.min.css",
        "sha384-QMux00XgRtwRLSYIY3kw2rj1ovk5AuuliAchk+HSQbqdbGFnz9GYuqIlOqxhwCE2",
    ),
    Bundle(
        "graphiql",
        "3.9.0",
        "graphiql.min.js",
        "sha384-8NGfVj4CVlqHajlZj+bPJT4thxPMHMJYn7DWK2CvtopLd02E7qsPHazniBYvVjOO",
    ),
    Bundle(
        "@graphiql/plugin-explorer",
        "3.2.6",
        "dist/style.css",
        "sha384-YN9MumWidbWKuNj8VfH5ggrFvm9YqAoIOMnKYpeGL3dr7Eg1qnQ+SAqSthdNZCjz",
    ),
    Bundle(
        "@graphiql/plugin-explorer",
        "3.2.6",
        "dist/index.umd.js",
        "sha384-5p6hGdlOTvUy6Wf0GauxCz+xM9YB/YYvcGG+bf9msr2eyd+KVIxgRkepHgUijedJ",
    ),
)


def page(request: Request) -> HTMLResponse:
    installed = is_installed()
    html = _template().substitute(
        tags="\n".join(_tags(request.scope.get("root_path", ""), installed)), examples=_examples_json()
    )
    foreign = [] if installed else [bundle.cdn for bundle in BUNDLES]
    return HTMLResponse(html, headers=_page_headers(foreign))


def asset(request: Request) -> FileResponse:
    """Serves a file that the page names, and no other file of its folder."""
    path = _files().get(request.path_params["path"])
    if request.path_params["version"] != version() or path is None or not path.is_file():
        raise HTTPException(404)
    headers = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
    return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], headers=headers)


routes = [Route(PREFIX + "/{version}/{path:path}", asset, name="graphiql")]


def is_installed() -> bool:
    return all((INSTALLED / bundle.path).is_file() for bundle in BUNDLES)


@functools.cache
def version() -> str:
    """Identifies the state of all served files. It is part of their addresses, so that browsers can cache them
    permanently."""
    own = b"".join((HERE / name).read_bytes() for name in OWN)
    return sha256(own + "".join(bundle.integrity for bundle in BUNDLES).encode()).hexdigest()[:12]


@functools.cache
def examples() -> list[dict[str, str]]:
    """The tabs that a new visitor sees: each operation with its variables, if it has any."""
    return [_example(path) for path in sorted(EXAMPLES.glob("*.graphql"))]


def _example(path: Path) -> dict[str, str]:
    variables = path.with_suffix(".json")
    return {"query": path.read_text("utf-8")} | (
        {"variables": variables.read_text("utf-8").strip()} if variables.exists() else {}
    )


def _examples_json() -> str:
    # With "<", a text could end the script element that contains it.
    return json.dumps(examples()).replace("<", "\\u003c")


@functools.cache
def _template() -> Template:
    return Template((HERE / "graphiql.html").read_text("utf-8"))


def _files() -> dict[str, Path]:
    return {name: HERE / name for name in OWN} | {bundle.path: INSTALLED / bundle.path for bundle in BUNDLES}


def _tags(root_path: str, installed: bool) -> Iterable[str]:
    base = f"{root_path}{PREFIX}/{version()}"
    for bundle in BUNDLES:
        address = f"{base}/{bundle.path}" if installed else bundle.cdn
        yield _tag(address, f' integrity="{bundle.integrity}" crossorigin="anonymous"')
    yield from (_tag(f"{base}/{name}") for name in OWN)


def _tag(address: str, attributes: str = "") -> str:
    if address.endswith(".css"):
        return f'<link rel="stylesheet" href="{escape(address)}"{attributes}>'
    return f'<script defer src="{escape(address)}"{attributes}></script>'


def _page_headers(foreign: list[str]) -> dict[str, str]:
    return {
        "content-security-policy": _policy(foreign),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
        "vary": "accept",
    }


def _policy(foreign: list[str]) -> str:
    """Allows this host, and of the CDN only these files: it serves scripts of any author at other addresses."""
    scripts = "".join(f" {address}" for address in foreign if address.endswith(".js"))
    styles = "".join(f" {address}" for address in foreign if address.endswith(".css"))
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'self'{scripts}",
            f"style-src 'self' 'unsafe-inline'{styles}",  # GraphiQL's dialogs insert a style element
            "img-src 'self' data: blob:",  # pictures are fetched with the key
            "font-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
