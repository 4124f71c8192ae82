import asyncio
import base64
import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from hashlib import sha384
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple, cast

import httpx
import pytest
import uvicorn
from graphql import GraphQLSchema, build_schema, parse, validate
from graphql.execution.values import get_variable_values
from graphql.language import OperationDefinitionNode
from starlette.applications import Starlette
from starlette.routing import Route

from server.http import graphiql
from tests.support.browser import CHROMIUM, WITHOUT_CHROMIUM, Page, browser

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "schema.graphql"
needs_bundles = pytest.mark.skipif(not graphiql.is_installed(), reason="scripts/setup-graphiql found no npm")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT_CHROMIUM)


class Html(HTMLParser):
    """Addresses that a page loads, each with the attributes of its element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: dict[str, dict[str, str | None]] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        address = given.get("src") or (given.get("href") if tag == "link" else None)
        if address:
            self.loaded[address] = given


# ---------------------------------------------------------------- examples


@pytest.fixture
def schema() -> GraphQLSchema:
    return build_schema(SCHEMA.read_text())


def example_id(example: dict[str, str]) -> str:
    return str(re.findall(r"^(?:query|mutation|subscription) (\w+)", example["query"], re.M)[0])


@pytest.mark.parametrize("example", graphiql.examples(), ids=example_id)
def test_every_example_is_valid_against_the_schema(example: dict[str, str], schema: GraphQLSchema) -> None:
    assert validate(schema, parse(example["query"])) == []


@pytest.mark.parametrize("example", graphiql.examples(), ids=example_id)
def test_the_variables_of_every_example_fit_its_operation(example: dict[str, str], schema: GraphQLSchema) -> None:
    operation = cast(OperationDefinitionNode, parse(example["query"]).definitions[0])
    variables = json.loads(example["variables"])
    values = get_variable_values(schema, operation.variable_definitions or [], variables)
    assert not isinstance(values, list), values
    assert variables.keys() <= {definition.variable.name.value for definition in operation.variable_definitions or []}


def test_the_examples_speak_of_what_the_demo_holds() -> None:
    names = [example_id(example) for example in graphiql.examples()]
    assert names == [
        "ProductionVersion", "Lineage", "Search", "RegisterVersion", "Promotion", "TransitionStage", "Audit",
        "Happening",
    ]  # fmt: skip


# ---------------------------------------------------------------- page and files


def application() -> Starlette:
    """The page and its files alone, without the API."""
    return Starlette(routes=[Route("/graphql", graphiql.page), *graphiql.routes])


def get(path: str, root_path: str = "") -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(application(), root_path=root_path)
        async with httpx.AsyncClient(transport=transport, base_url="http://lineal") as client:
            return await client.get(path)

    return asyncio.run(ask())


@pytest.fixture
def without_bundles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(graphiql, "INSTALLED", tmp_path / "nothing")


def directives() -> dict[str, str]:
    policy = get("/graphql").headers["content-security-policy"]
    return {name: sources for name, _, sources in (part.partition(" ") for part in policy.split("; "))}


@needs_bundles
def test_the_page_loads_nothing_from_another_host() -> None:
    loaded = Html(get("/graphql").text).loaded
    own = [address for address in loaded if not address.startswith("data:")]
    assert len(own) == len(graphiql.BUNDLES) + len(graphiql.OWN)
    assert all(address.startswith(f"/graphiql/{graphiql.version()}/") for address in own)
    assert all(get(address).status_code == 200 for address in own)
    assert "http" not in get("/graphql").headers["content-security-policy"]


@needs_bundles
def test_the_page_allows_no_inline_script_and_no_other_host() -> None:
    assert directives() == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    headers = get("/graphql").headers
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


@needs_bundles
def test_the_hashes_are_those_of_the_installed_files() -> None:
    for bundle in graphiql.BUNDLES:
        digest = sha384((graphiql.INSTALLED / bundle.path).read_bytes()).digest()
        assert bundle.integrity == f"sha384-{base64.b64encode(digest).decode()}", bundle.path


@pytest.mark.usefixtures("without_bundles")
def test_without_installed_files_each_file_of_the_cdn_is_held_to_its_hash() -> None:
    loaded = Html(get("/graphql").text).loaded
    foreign = {address: given for address, given in loaded.items() if address.startswith("https:")}
    assert {given["integrity"] for given in foreign.values()} == {bundle.integrity for bundle in graphiql.BUNDLES}
    assert all(given["crossorigin"] == "anonymous" for given in foreign.values())


@pytest.mark.usefixtures("without_bundles")
def test_without_installed_files_the_page_allows_exactly_those_of_the_cdn() -> None:
    allowed = directives()
    cdn = {bundle.cdn for bundle in graphiql.BUNDLES}
    assert set(allowed["script-src"].split()) | set(allowed["style-src"].split()) == cdn | {"'self'", "'unsafe-inline'"}
    assert allowed["connect-src"] == "'self'"


def test_served_files_may_be_kept_for_good_because_their_address_names_their_state() -> None:
    answer = get(f"/graphiql/{graphiql.version()}/graphiql.js")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"].startswith("text/javascript")
    assert get("/graphiql/0123456789ab/graphiql.js").status_code == 404


@pytest.mark.parametrize("path", ["graphiql.py", "%2e%2e/graphiql.py", "graphiql.html", "installed", ""])
def test_only_files_that_the_page_names_are_served(path: str) -> None:
    assert get(f"/graphiql/{graphiql.version()}/{path}").status_code == 404


def test_the_page_works_behind_a_path_prefix() -> None:
    own = [address for address in Html(get("/registry/graphql", "/registry").text).loaded if address.endswith(".js")]
    assert own[-1] == f"/registry/graphiql/{graphiql.version()}/graphiql.js"
    assert get(own[-1], "/registry").status_code == 200


def test_no_text_of_an_example_can_end_its_script_element(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphiql, "examples", lambda: [{"query": "# </script><script>alert(1)</script>"}])
    assert "alert(1)</script>" not in get("/graphql").text


# ---------------------------------------------------------------- set-up


def test_the_pinned_packages_are_those_that_the_page_names() -> None:
    pinned = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert pinned == {bundle.package: bundle.version for bundle in graphiql.BUNDLES}


def test_the_lock_file_holds_hashes_and_no_registry() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    installed = [package for path, package in packages.items() if path]
    assert all("integrity" in package and "resolved" not in package for package in installed)


@pytest.mark.parametrize("npm", ["exit 1", None], ids=["failing", "absent"])
def test_set_up_goes_on_with_one_sentence_where_npm_is(npm: str | None, tmp_path: Path) -> None:
    answer = set_up(tmp_path, npm)
    assert answer.returncode == 0
    assert answer.stdout == ""
    assert re.fullmatch(r"GraphiQL will load its files from a CDN, because .+\.\n", answer.stderr)
    assert list((tmp_path / "server" / "http").iterdir()) == []


def set_up(root: Path, npm: str | None) -> subprocess.CompletedProcess[str]:
    """Runs a copy of the script where the only commands are those that it needs, and the given npm."""
    for name in ("bin", "scripts", "server/http"):
        (root / name).mkdir(parents=True)
    for name in ("package.json", "package-lock.json", ".npmrc", "scripts/setup-graphiql"):
        shutil.copy(ROOT / name, root / name)
    for command in ("sh", "dirname", "cat", "cksum", "mktemp", "rm", "cp", "mkdir", "mv"):
        (root / "bin" / command).symlink_to(cast(str, shutil.which(command)))
    if npm:
        (root / "bin" / "npm").write_text(f"#!/bin/sh\n{npm}\n")
        (root / "bin" / "npm").chmod(0o755)
    return subprocess.run(
        [root / "scripts" / "setup-graphiql"], env={"PATH": str(root / "bin")}, capture_output=True, text=True
    )


# ---------------------------------------------------------------- in a browser


@contextlib.contextmanager
def serving(app: Starlette) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=asyncio.run, args=(server.serve([listener]),))
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class Server(NamedTuple):
    address: str
    key: str


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Lineal with the sample registry, started as a newcomer starts it."""
    # Not pytest's own folder: it is closed to the user that PostgreSQL runs as when the suite runs as root.
    with tempfile.TemporaryDirectory(prefix="lineal-page-") as folder:
        command = [
            str(Path(sys.executable).with_name("lineal")),
            "serve",
            "--demo",
            "--port",
            "0",
            "--data-dir",
            folder,
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout
            found = re.search(r"http://(\S+)/graphql", process.stdout.readline())
            assert found, "lineal serve did not say where it is"
            try:
                yield Server(found[1], Path(folder, "admin-key").read_text().strip())
            finally:
                process.terminate()


@pytest.fixture
def page(server: Server, tmp_path: Path) -> Iterator[Page]:
    with browser(tmp_path / "profile") as chromium:
        yield chromium.open(f"http://{server.address}/graphql")


def wait_for_text(page: Page, selector: str, text: str) -> None:
    page.wait_for(f"document.querySelector({json.dumps(selector)})?.innerText.includes({json.dumps(text)})")


def use_key(page: Page, key: str) -> None:
    page.evaluate("document.querySelector('#key').value = ''")
    page.click("#key")
    page.type(key)
    page.click("#key-form button")


@needs_bundles
@needs_chromium
def test_an_example_runs_in_a_browser_that_asks_no_other_host(server: Server, page: Page, tmp_path: Path) -> None:
    assert page.evaluate("document.title") == "Lineal"
    wait_for_text(page, "#key-status", "<data-dir>/admin-key")
    wait_for_text(page, ".result-window", "The request has no API key")
    page.screenshot(tmp_path / "without-key.png")

    use_key(page, "lnl_wrong")
    wait_for_text(page, "#key-status", "The API key is not accepted.")
    use_key(page, server.key)
    wait_for_text(page, "#key-status", "Key accepted.")

    page.click("[aria-label='Show GraphiQL Explorer']")
    wait_for_text(page, ".graphiql-explorer-root", "productionVersion")
    page.click(".graphiql-execute-button")
    wait_for_text(page, ".result-window", "0.891")
    page.screenshot(tmp_path / "example.png")
    # The candidate, as a review meeting sees it.
    page.evaluate("document.querySelectorAll('.graphiql-tab-button')[4].click()")
    wait_for_text(page, ".graphiql-tab-active", "Promotion")
    time.sleep(1)  # GraphiQL learns the new operation's name a moment later than it shows it
    page.click(".graphiql-execute-button")
    wait_for_text(page, ".result-window", "STAGING may go to PRODUCTION.")
    page.screenshot(tmp_path / "promotion.png")
    page.click("[aria-label='Open settings dialog']")
    wait_for_text(page, ".graphiql-dialog", "Theme")

    tabs = page.evaluate("[...document.querySelectorAll('.graphiql-tab-button')].map((tab) => tab.innerText)")
    assert tabs == [example_id(example) for example in graphiql.examples()]
    assert page.hosts() == {server.address}
    assert page.violations() == []
    assert page.errors() == []


@needs_bundles
@needs_chromium
def test_a_key_in_the_headers_pane_is_sent_and_never_kept(server: Server, page: Page) -> None:
    wait_for_text(page, ".graphiql-tab-active", "ProductionVersion")
    page.click("[data-name='headers']")
    pane = "document.querySelector('.graphiql-editor-tool .graphiql-editor:not(.hidden) .CodeMirror').CodeMirror"
    assert json.loads(page.evaluate(f"{pane}.getValue()")) == {"Authorization": "Bearer "}

    page.evaluate(f"{pane}.setValue({json.dumps(json.dumps({'authorization': f'Bearer {server.key}'}))})")
    page.click(".graphiql-execute-button")
    wait_for_text(page, ".result-window", "0.891")
    page.wait_for("localStorage.getItem('graphiql:queries') !== null")
    assert server.key not in page.evaluate("JSON.stringify([localStorage, sessionStorage])")

    page.reload()
    wait_for_text(page, "#key-status", "An API key is required.")
    assert server.key not in page.evaluate("JSON.stringify([localStorage, sessionStorage])")


# Under the name that the tab has: GraphiQL learns of another only later.
PICTURES = """query ProductionVersion { model(id: "model_xgb_churn") {
  metricUrl(name: "auc") productionVersion { lineageUrl }
} }"""


@needs_bundles
@needs_chromium
@pytest.mark.parametrize("path", ["/lineage/", "/models/model_xgb_churn/metrics/auc.svg"])
def test_the_path_of_a_picture_shows_it_under_the_mouse_and_opens_it(
    server: Server, page: Page, tmp_path: Path, path: str
) -> None:
    use_key(page, server.key)
    wait_for_text(page, "#key-status", "Key accepted.")
    page.evaluate(
        f"document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror.setValue({json.dumps(PICTURES)})"
    )
    page.click(".graphiql-execute-button")
    wait_for_text(page, ".result-window", path)
    page.point_at(
        f"[...document.querySelectorAll('.result-window .cm-string')].find((e) => e.innerText.includes('{path}'))"
    )
    page.wait_for("document.querySelector('.picture img')?.naturalWidth > 0")
    time.sleep(0.5)  # until it has faded in
    page.screenshot(tmp_path / "picture.png")
    assert [address for address in page.addresses("Fetch") if path in address]
    # Nothing asks for it but with the key, and the key is in no address.
    assert all(address.startswith(("blob:", "data:")) for address in page.addresses("Image"))
    assert not [
        address for kind in ("Document", "Fetch", "Image") for address in page.addresses(kind) if "lnl_" in address
    ]
    page.click(".picture a")
    assert page.opened().startswith(f"blob:http://{server.address}/")
    assert page.violations() == []
    assert page.errors() == []


@needs_bundles
@needs_chromium
def test_a_subscription_shows_what_is_done_elsewhere(server: Server, page: Page, tmp_path: Path) -> None:
    use_key(page, server.key)
    wait_for_text(page, "#key-status", "Key accepted.")
    page.evaluate("document.querySelectorAll('.graphiql-tab-button')[7].click()")
    wait_for_text(page, ".graphiql-tab-active", "Happening")
    time.sleep(1)  # GraphiQL learns the new operation's name a moment later than it shows it
    page.click(".graphiql-execute-button")
    wait_for_text(page, ".graphiql-execute-button[aria-label^=Stop]", "")
    time.sleep(0.5)
    tag = """mutation { addTags(input: {modelId: "model_xgb_churn", version: "2.1.0", tags: ["seen-elsewhere"]}) {
        version { tags } } }"""
    httpx.post(
        f"http://{server.address}/graphql",
        json={"query": tag},
        headers={"Authorization": f"Bearer {server.key}"},
        trust_env=False,
    ).raise_for_status()
    wait_for_text(page, ".result-window", "version.tagged")
    page.screenshot(tmp_path / "subscription.png")
    page.click(".graphiql-execute-button")
    assert page.violations() == []
    assert page.errors() == []


@needs_chromium
@pytest.mark.usefixtures("without_bundles")
def test_a_page_that_cannot_reach_the_cdn_says_what_to_do(tmp_path: Path) -> None:
    with serving(application()) as address, browser(tmp_path / "profile") as chromium:
        page = chromium.open(f"http://{address}/graphql")
        wait_for_text(page, "#graphiql", "scripts/setup-graphiql")
        assert page.hosts() > {"cdn.jsdelivr.net"}
        assert page.violations() == []
