"""A real server, asked over real connections: the audits of GraphQL over HTTP, and bodies that are too large."""

import http.client
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

AUDITS = Path(__file__).parent / "support" / "graphql_over_http.mjs"
PACKAGES = ("graphql-http@1.23.1", "graphql@16.11.0")
needs_npm = pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="needs node and npm")


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where a server that asks for no keys takes GraphQL."""
    # Not pytest's own folder: it is closed to the user that PostgreSQL runs as when the suite runs as root.
    with tempfile.TemporaryDirectory(prefix="lineal-http-", dir="/tmp") as folder:
        lineal = str(Path(sys.executable).with_name("lineal"))
        command = [lineal, "serve", "--open", "--port", "0", "--data-dir", folder]
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert server.stdout
        try:
            said = re.search(r"http://\S+/graphql", server.stdout.readline())
            assert said, (Path(folder) / "log").read_text()
            yield said[0]
        finally:
            server.terminate()
            server.wait(30)
            server.stdout.close()


@pytest.fixture(scope="session")
def audits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphql-over-http")
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder), *PACKAGES]
    installed = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"npm cannot install {PACKAGES[0]}: {installed.stderr.strip().splitlines()[-1]}")
    return Path(shutil.copy(AUDITS, folder))


@needs_npm
def test_all_audits_of_graphql_over_http_pass(address: str, audits: Path) -> None:
    told = subprocess.run(["node", audits, address], capture_output=True, text=True, timeout=60)
    assert json.loads(told.stdout) == {"audits": 61, "failed": []}, told.stderr


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "in-chunks"])
def test_a_body_of_ten_megabytes_is_refused_and_the_next_request_served(address: str, chunked: bool) -> None:
    status, answer = post(address, iter([b" " * 100_000] * 100) if chunked else b" " * 10_000_000)
    assert status == 413
    assert answer["errors"][0]["message"] == "The body is larger than 1000000 bytes. Send less at once."
    status, answer = post(address, b'{"query": "{ __typename }"}')
    assert (status, answer["data"]) == (200, {"__typename": "Query"})


def post(address: str, body: bytes | Iterator[bytes]) -> tuple[int, Any]:
    url = urlsplit(address)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)
    connection.request("POST", url.path, body, {"content-type": "application/json"}, encode_chunked=True)
    answer = connection.getresponse()
    try:
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()
