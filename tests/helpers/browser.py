"""Debian's chromium without a window, over the pipe of its DevTools protocol."""

import base64
import itertools
import json
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

FLAGS = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --remote-debugging-pipe"


def executable():
    """The path of chromium, None where it is not installed."""
    return shutil.which("chromium")


class Browser:
    """One tab. Use as a context manager; `errors` collects what the console complains of."""

    def __enter__(self):
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        (theirs_in, to_it), (from_it, theirs_out) = os.pipe(), os.pipe()
        # the protocol's pipes are descriptors 3 and 4
        command = f"exec {shlex.quote(executable())} {FLAGS} --user-data-dir={self._profile.name} "
        command += f"about:blank 3<&{theirs_in} 4>&{theirs_out}"
        self._process = subprocess.Popen(
            ["bash", "-c", command],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._to, self._from = os.fdopen(to_it, "wb"), os.fdopen(from_it, "rb")
        self._numbers, self._session, self._seen, self.errors = itertools.count(1), None, [], []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        self._to.close()
        self._process.kill()
        self._process.wait()
        self._from.close()
        self._profile.cleanup()

    def open(self, path, width):
        """Shows a file in a window so many CSS pixels wide, and waits until it is loaded."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self._ask("Emulation.setDeviceMetricsOverride", **size)
        self.errors, self._seen = [], []
        self._ask("Page.navigate", url=Path(path).resolve().as_uri())
        while "Page.loadEventFired" not in self._seen:
            self._read()

    def run(self, script):
        """The value of a JavaScript expression, a promise awaited."""
        how = {"expression": script, "returnByValue": True, "awaitPromise": True}
        found = self._ask("Runtime.evaluate", **how)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def screenshot(self, path):
        """The whole page as a PNG."""
        found = self._ask("Page.captureScreenshot", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(found["data"]))

    def _ask(self, method, **parameters):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _read(self):
        text = bytearray()
        while (byte := self._from.read(1)) != b"\0":
            assert byte, "chromium ended"
            text += byte
        answer = json.loads(text)
        method, said = answer.get("method", ""), answer.get("params", {})
        self._seen.append(method)
        if method == "Runtime.exceptionThrown" or (
            method == "Log.entryAdded" and said["entry"]["level"] == "error"
        ):
            self.errors.append(said)
        if method == "Runtime.consoleAPICalled" and said["type"] in ("error", "assert"):
            self.errors.append(said)
        return answer
