"""Drives a headless Chromium over its debugging pipe, which needs no port and no WebSocket client."""

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WITHOUT_CHROMIUM = "there is no Chromium here (Debian: apt-get install chromium)"
FLAGS = [
    "--remote-debugging-pipe",
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# A slip of the page must not reach a network from the test either: it shows as a failed request.
LOOPBACK_ONLY = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
# Chromium reads commands from descriptor 3 and answers on 4, whatever numbers the pipes have here.
ON_3_AND_4 = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
REPORT_VIOLATIONS = """
    window.cspViolations = [];
    addEventListener("securitypolicyviolation", (e) => cspViolations.push(`${e.effectiveDirective} ${e.blockedURI}`));
"""

Json = dict[str, Any]


class BrowserError(Exception):
    pass


@contextlib.contextmanager
def browser(profile: Path) -> Iterator["Browser"]:
    """A Chromium with its own empty profile, ended with everything that it started."""
    assert CHROMIUM, WITHOUT_CHROMIUM
    commands, write = _high(os.pipe())
    read, answers = _high(os.pipe())
    through = [sys.executable, "-c", ON_3_AND_4, str(commands), str(answers)]
    process = subprocess.Popen(
        [*through, CHROMIUM, *FLAGS, LOOPBACK_ONLY, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(commands, answers),
        process_group=0,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands)
    os.close(answers)
    try:
        yield Browser(read, write)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(read)
        os.close(write)


def _high(pipe: tuple[int, int]) -> tuple[int, int]:
    """Moves a pipe above the descriptors that ON_3_AND_4 overwrites."""
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in pipe)
    for end in pipe:
        os.close(end)
    return moved[0], moved[1]


class Browser:
    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._ids = itertools.count(1)
        self._received = b""
        self.events: list[Json] = []

    def open(self, url: str, width: int = 1440, height: int = 900) -> "Page":
        target = self.call("Target.createTarget", url="about:blank", newWindow=True, width=width, height=height)[
            "targetId"
        ]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Network", "Log", "Audits", "Runtime"):
            page.call(f"{domain}.enable")
        page.call("Page.addScriptToEvaluateOnNewDocument", source=REPORT_VIOLATIONS)
        page.call("Page.navigate", url=url)
        page.wait_for("location.href !== 'about:blank' && document.readyState === 'complete'")
        return page

    def call(self, method: str, session: str | None = None, seconds: float = 30, **params: Any) -> Json:
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + seconds
        while (answer := self._receive(deadline)).get("id") != number:
            self.events.append(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        result: Json = answer["result"]
        return result

    def _receive(self, deadline: float) -> Json:
        while b"\0" not in self._received:
            if not select.select([self._read], [], [], max(0, deadline - time.monotonic()))[0]:
                raise BrowserError("Chromium did not answer in time")
            chunk = os.read(self._read, 1 << 20)
            if not chunk:
                raise BrowserError("Chromium ended")
            self._received += chunk
        message, self._received = self._received.split(b"\0", 1)
        answer: Json = json.loads(message)
        return answer


class Page:
    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **params: Any) -> Json:
        return self._browser.call(method, session=self._session, **params)

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression}: {answer['exceptionDetails']['exception'].get('description')}")
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 15) -> Any:
        """The value of a JavaScript expression, once it is true. An element has no value here: ask it `!== null`."""
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            if time.monotonic() > deadline:
                raise BrowserError(f"never true: {expression}\n{self.evaluate('document.body.innerText')}")
            time.sleep(0.05)
        return value

    def click(self, selector: str) -> None:
        x, y = self._middle(f"document.querySelector({json.dumps(selector)})")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def point_at(self, element: str) -> None:
        """Moves the mouse there; the element as a JavaScript expression."""
        x, y = self._middle(element)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def _middle(self, element: str) -> list[float]:
        self.wait_for(f"({element} ?? null) !== null")
        box = f"{element}.getBoundingClientRect()"
        middle: list[float] = self.evaluate(f"[{box}.x + {box}.width / 2, {box}.y + {box}.height / 2]")
        return middle

    def type(self, text: str) -> None:
        """Into whatever has the focus."""
        self.call("Input.insertText", text=text)

    def reload(self) -> None:
        self.evaluate("window.beforeReload = true")
        self.call("Page.reload")
        self.wait_for("!window.beforeReload && document.readyState === 'complete'")

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def hosts(self) -> set[str]:
        """Every host that the page has asked for anything, refused or not."""
        requests = self._events("Network.requestWillBeSent")
        return {urlsplit(event["request"]["url"]).netloc for event in requests} - {""}

    def opened(self, seconds: float = 15) -> str:
        """The address of a tab that shows what the page has made, once it is open."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for target in self._browser.call("Target.getTargets")["targetInfos"]:
                if target["type"] == "page" and target["url"].startswith("blob:"):
                    return str(target["url"])
            time.sleep(0.05)
        raise BrowserError("no tab was opened")

    def addresses(self, type_: str) -> list[str]:
        """What was asked for as images, by scripts (Fetch) and so on."""
        requests = self._events("Network.requestWillBeSent")
        return [event["request"]["url"] for event in requests if event.get("type") == type_]

    def violations(self) -> list[str]:
        """What the content security policy has blocked since the page was loaded, from all who tell of it."""
        issues = [event["issue"] for event in self._events("Audits.issueAdded")]
        logged = [event["entry"]["text"] for event in self._events("Log.entryAdded")]
        return [
            *self.evaluate("window.cspViolations"),
            *(str(issue) for issue in issues if issue["code"] == "ContentSecurityPolicyIssue"),
            *(text for text in logged if "Content Security Policy" in text),
        ]

    def errors(self) -> list[str]:
        """Exceptions that no script has caught."""
        thrown = [event["exceptionDetails"] for event in self._events("Runtime.exceptionThrown")]
        return [details.get("exception", {}).get("description", details["text"]) for details in thrown]

    def _events(self, method: str) -> list[Json]:
        self.evaluate("0")  # takes in what has arrived until now
        mine = [event for event in self._browser.events if event.get("sessionId") == self._session]
        return [event["params"] for event in mine if event["method"] == method]
