"""Headless Chromium over its debugging pipe: opens a page, listens, and takes pictures."""

from __future__ import annotations

import base64
import io
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PATH = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--remote-debugging-pipe", "--hide-scrollbars", "--disable-dev-shm-usage"),
)
_PATIENCE_S = 60.0


@dataclass
class Page:
    """One tab. requests: URLs it asked for; complaints: errors and warnings of its console."""

    _to: int
    _from: int
    session: str = ""
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _number: int = 0
    _buffer: bytes = b""

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol; raises RuntimeError when it fails."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._hear(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        found: dict[str, Any] = answer["result"]
        return found

    def run(self, script: str) -> Any:
        """The value of an expression in the page; waits for promises."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(f"{script}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Until an expression is true; raises TimeoutError."""
        until = time.monotonic() + _PATIENCE_S
        while not self.run(condition):
            if time.monotonic() > until:
                raise TimeoutError(condition)
            time.sleep(0.05)

    def look(self, *, width: int, dark: bool) -> None:
        """Give the window another width [CSS pixels] and colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self) -> NDArray[np.uint8]:
        """What the whole page looks like: uint8 [height, width, 3]."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        shot = self.call(
            "Page.captureScreenshot", clip={**size, "scale": 1}, captureBeyondViewport=True
        )
        image = Image.open(io.BytesIO(base64.b64decode(shot["data"])))
        return np.asarray(image.convert("RGB"))

    def boxes(self, selector: str) -> dict[str, tuple[slice, slice]]:
        """Where elements are in the picture, by their ids."""
        found = self.run(
            f"[...document.querySelectorAll({json.dumps(selector)})].map(e => [e.id, "
            "e.getBoundingClientRect()]).map(([id, r]) => "
            "[id, r.top + scrollY, r.bottom + scrollY, r.left, r.right].map(v => "
            "typeof v === 'number' ? Math.round(v) : v))"
        )
        return {
            name: (slice(top, bottom), slice(left, right))
            for name, top, bottom, left, right in found
        }

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            code = {"ArrowRight": 39, "ArrowDown": 40}[key]
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._from], [], [], _PATIENCE_S)[0]:
                raise TimeoutError("Chromium says nothing")
            part = os.read(self._from, 1 << 20)
            if not part:
                raise RuntimeError("Chromium has ended")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        return found

    def _hear(self, event: dict[str, Any]) -> None:
        said = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(said["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded":
            self.complaints.append(said["entry"]["text"])
        elif event.get("method") == "Runtime.consoleAPICalled":
            self.complaints.append(f"{said['type']}: {said['args']}")


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """A browser of its own, with a new profile; ends with the block."""
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()

    def hand_over() -> None:
        # The browser reads commands from descriptor 3 and writes to 4; those may be taken here.
        commands, answers = os.dup(to_read), os.dup(from_write)
        os.dup2(commands, 3)
        os.dup2(answers, 4)

    assert PATH is not None
    browser = subprocess.Popen(
        [PATH, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=hand_over,
        close_fds=False,
        env={**os.environ, "HOME": str(profile)},
    )
    os.close(to_read)
    os.close(from_write)
    try:
        yield _attached(Page(to_write, from_read))
    finally:
        browser.terminate()
        browser.wait(timeout=30)
        os.close(to_write)
        os.close(from_read)


def _attached(page: Page) -> Page:
    targets = page.call("Target.getTargets")["targetInfos"]
    tab = next(one["targetId"] for one in targets if one["type"] == "page")
    page.session = page.call("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
    for part in ("Page", "Runtime", "Network", "Log"):
        page.call(f"{part}.enable")
    return page
