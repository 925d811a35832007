"""A headless browser for tests: opens a page as a reader would, and says what is wrong with it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.needs import CHROMIUM

_PROBE = Path(__file__).with_name("probe.js")
# The browser's own window cannot be as narrow as a phone.
_WINDOW = '<iframe src="probed.html" style="width: {}px; height: 900px; border: 0"></iframe>'
_FRAME = """<!doctype html>
<script>
addEventListener('message', event => {
  const seen = document.createElement('pre');
  seen.className = 'seen';
  seen.textContent = JSON.stringify(event.data);
  document.body.append(seen);
});
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


def look(page: Path, *widths: int, dark: bool = False) -> list[Seen]:
    """Open `page` in windows of these widths, narrowest first, with a reader's preference."""
    with tempfile.TemporaryDirectory(prefix="airworthy-page-") as folder:
        probe = f"<head><script>{_PROBE.read_text()}</script>"
        probed, frame = Path(folder) / "probed.html", Path(folder) / "frame.html"
        probed.write_text(page.read_text().replace("<head>", probe, 1))
        frame.write_text(_FRAME + "".join(_WINDOW.format(width) for width in widths))
        dom = _open(frame, dark=dark)
    told = re.findall(r'<pre class="seen">(.*?)</pre>', dom, re.DOTALL)
    found = [json.loads(html.unescape(said)) for said in told]
    assert len(found) == len(widths), "a window did not answer"
    seen = [Seen(one["dom"], one["faults"], one["isDark"], one["width"]) for one in found]
    return sorted(seen, key=lambda one: one.width)


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
