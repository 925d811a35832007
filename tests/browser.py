"""A headless browser for tests: opens a page as a reader would, and says what is wrong with it."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.needs import CHROMIUM

_PROBE = Path(__file__).with_name("probe.js")
# The browser's own window cannot be as narrow as a phone.
_FRAME = """<!doctype html>
<iframe src="probed.html" style="width: {width}px; height: 900px; border: 0"></iframe>
<script>
addEventListener('message', event => {{
  const seen = document.createElement('pre');
  seen.id = 'seen';
  seen.textContent = JSON.stringify(event.data);
  document.body.append(seen);
}});
</script>
"""


@dataclass(frozen=True)
class Seen:
    """A page as the browser has it.

    Attributes:
        faults: sentences; none if all is well.
        width: of the window, in pixels.
    """

    dom: str
    faults: list[str]
    is_dark: bool
    width: int


def look(page: Path, *, width: int = 1280, dark: bool = False) -> Seen:
    """Open `page` in a window of `width` with a reader's preference."""
    with tempfile.TemporaryDirectory(prefix="airworthy-page-") as folder:
        probe = f"<head><script>{_PROBE.read_text()}</script>"
        probed, frame = Path(folder) / "probed.html", Path(folder) / "frame.html"
        probed.write_text(page.read_text().replace("<head>", probe, 1))
        frame.write_text(_FRAME.format(width=width))
        dom = _open(frame, dark=dark)
    said = dom.rsplit('<pre id="seen">', 1)[1].split("</pre>")[0]
    found = json.loads(html.unescape(said))
    return Seen(found["dom"], found["faults"], found["isDark"], found["width"])


def _open(page: Path, *, dark: bool) -> str:
    """The page's document after its scripts have run; no name is looked up."""
    profile = tempfile.mkdtemp(prefix="airworthy-chromium-")
    try:
        return subprocess.run(
            [
                str(CHROMIUM.find()), "--headless", "--no-sandbox", "--disable-gpu",
                "--disable-quic", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}",
                "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=3000",
                f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                "--dump-dom", page.as_uri(),
            ],
            capture_output=True, text=True, check=True, timeout=120,
        ).stdout  # fmt: skip
    finally:
        shutil.rmtree(profile, ignore_errors=True)
