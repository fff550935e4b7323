"""A real browser for pages: headless Chromium, driven through its DevTools protocol over two pipes.

Nothing but the standard library is needed. On Debian, `apt-get install --no-install-recommends chromium` gives the
browser (113 MB to download, 420 MB on disk).
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIMEOUT = 60.0

# Chromium reads commands from descriptor 3 and writes to 4, and Popen cannot number them.
_LAUNCH = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)


def find_browser():
    """The browser's path, `GROUPRANK_BROWSER` first; `None` without one."""
    wanted = os.environ.get("GROUPRANK_BROWSER")
    if wanted is not None:
        found = shutil.which(wanted)
        if found is None:
            raise FileNotFoundError(
                f"GROUPRANK_BROWSER={wanted!r} is no program. Give the path of Chromium, or unset it."
            )
        return found
    return next(filter(None, map(shutil.which, NAMES)), None)


def browser_or_skip():
    """The browser's path, or a skipped test that says how to get one."""
    found = find_browser()
    if found is None:
        pytest.skip(f"no browser: install one of {', '.join(NAMES)}, or set GROUPRANK_BROWSER to its path")
    return found


class Browser:
    """A browser with one tab. Use as a context manager.

    `errors` and `requests` hold what the console complained of and what was loaded since the last `open`.
    """

    def __init__(self, program):
        self._program = program
        self._last = 0
        self._unread = b""
        self.errors, self.requests, self._events = [], [], []

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            self._complaints = stack.enter_context(tempfile.TemporaryFile())
            commands, self._write = _pipe()
            self._read, answers = _pipe()
            stack.callback(os.close, self._write)
            stack.callback(os.close, self._read)
            # Not `select`, which takes no descriptor from 1024 on: a whole suite in one process has more files open.
            self._poll = select.poll()
            self._poll.register(self._read, select.POLLIN)
            flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
            flags += ["--remote-debugging-pipe", "--hide-scrollbars", f"--user-data-dir={profile}", "about:blank"]
            launch = [sys.executable, "-c", _LAUNCH, str(commands), str(answers), self._program, *flags]
            process = subprocess.Popen(
                launch, pass_fds=(commands, answers), stdout=subprocess.DEVNULL, stderr=self._complaints
            )
            stack.callback(_end, process)
            os.close(commands)
            os.close(answers)
            self._session = None
            page = next(t for t in self._send("Target.getTargets")["targetInfos"] if t["type"] == "page")
            attached = self._send("Target.attachToTarget", targetId=page["targetId"], flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self._send(f"{domain}.enable")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._post("Browser.close", session=False)
        self._stack.close()

    def open(self, path, width=1280, height=900, dark=False, paper=False):
        """Load a file and wait until it is there; `paper` gives it the styles of a printer."""
        self._send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", media="print" if paper else "", features=[scheme])
        self.errors.clear()
        self.requests.clear()
        self._events.clear()
        self._send("Page.navigate", url=Path(path).resolve().as_uri())
        self._until(lambda: "Page.loadEventFired" in self._events, "the page to load")

    def evaluate(self, expression):
        """The value of a JavaScript expression, a thing that JSON can hold."""
        found = self._send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression!r} failed: {found['exceptionDetails']}")
        return found["result"].get("value")

    def click(self, expression):
        """Press the mouse on the middle of the element that an expression gives."""
        self.evaluate(f"({expression}).scrollIntoView({{block: 'center', inline: 'center', behavior: 'instant'}})")
        middle = "(e => { const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })"
        x, y = self.evaluate(f"{middle}({expression})")
        for kind in ("mousePressed", "mouseReleased"):
            self._send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key, code, text=""):
        """Press a key on what has the focus."""
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self._send("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self._send("Input.dispatchKeyEvent", type="keyUp", **common)

    def screenshot(self, path, whole=False):
        """Write a PNG of what is seen, or of the whole page."""
        shot = self._send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        Path(path).write_bytes(base64.b64decode(shot["data"]))

    def pdf(self, path):
        """Write what a printer would get, on A4."""
        found = self._send("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True)
        Path(path).write_bytes(base64.b64decode(found["data"]))

    def _post(self, method, session=True, **params):
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if session and self._session is not None:
            message["sessionId"] = self._session
        rest = json.dumps(message).encode() + b"\0"
        while rest:
            rest = rest[os.write(self._write, rest) :]
        return self._last

    def _send(self, method, **params):
        number = self._post(method, **params)
        answer = self._until(lambda: self._answers.pop(number, None), f"an answer to {method}")
        if "error" in answer:
            raise RuntimeError(f"{method} failed: {answer['error']}")
        return answer["result"]

    @property
    def _answers(self):
        return self.__dict__.setdefault("_answered", {})

    def _until(self, found, what):
        deadline = time.monotonic() + TIMEOUT
        while not (value := found()):
            ready = self._poll.poll(1e3 * max(0.0, deadline - time.monotonic()))
            received = os.read(self._read, 1 << 20) if ready else b""
            if not received:
                self._complaints.seek(0)
                said = self._complaints.read().decode(errors="replace")[-2000:]
                why = "ended" if ready else f"took more than {TIMEOUT:.0f} s"
                raise RuntimeError(f"{self._program} {why} while waiting for {what}. It said:\n{said}")
            *messages, self._unread = (self._unread + received).split(b"\0")
            for message in map(json.loads, messages):
                self._note(message)
        return value

    def _note(self, message):
        if "id" in message:
            self._answers[message["id"]] = message
            return
        method, params = message["method"], message["params"]
        self._events.append(method)
        if method == "Runtime.exceptionThrown":
            self.errors.append(params["exceptionDetails"].get("exception", {}).get("description", str(params)))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(" ".join(str(part.get("value")) for part in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])


def _pipe():
    """Both ends, numbered so that 3 and 4 stay free."""
    ends = os.pipe()
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return moved


def _end(process):
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
