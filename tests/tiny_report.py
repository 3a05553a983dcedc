"""`make tiny-report`: the installed command on tiny settings, and a look at the files it leaves."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

COMMAND = Path(sys.executable).with_name("rnn-vs-tdnn")
SMALL = ("--quick", "--steps", "20", "--seeds", "3", "--budget", "8000", "--length", "12")
# Whatever makes a browser ask another address: the names of XML dialects do not.
OUTSIDE = re.compile(
    r"<(?:script|link|iframe|object|embed|base)\b|@import|https?://(?!www\.w3\.org/)"
    r"|(?:src|href|srcset|action)\s*=\s*[\"']?(?:[a-z]+:)?//|url\(\s*[\"']?(?!#|data:)",
    re.IGNORECASE,
)


def main():
    """Make the report, make it again from what is stored, and check the files."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report"
        times = []
        for _ in range(2):
            subprocess.run([COMMAND, "run", *SMALL, "--out", out], check=True, timeout=600)
            times.append({path: path.stat().st_mtime_ns for path in out.glob("runs/**/*.json")})
        assert times[0], "no run was stored"
        assert times[0] == times[1], "the second start trained again"
        page = (out / "index.html").read_text("utf-8")
        assert not (outside := OUTSIDE.findall(page)), f"index.html reaches out: {outside[:3]}"
        assert page.count("<svg") >= 2, "index.html has no plots"
        for name in ("elman", "tdnn", "char", "adding-12", "copy-12"):
            assert name in page, f"index.html does not name {name}"
        kinds = {path.suffix for path in out.rglob("*") if path.is_file() and path.stat().st_size}
        assert kinds >= {".html", ".csv", ".json", ".md"}, f"only {sorted(kinds)}"
    print("tiny report: 1 passed, 0 failed")


if __name__ == "__main__":
    main()
