"""Fetching: by name, by hash, from a server of our own."""

import functools
import gc
import hashlib
import http.server
import io
import re
import threading
import warnings
import zipfile

import pytest

from tdnn.compare import fetching
from tdnn.compare.errors import ComparisonError
from tdnn.compare.fetching import SOURCES, Remote, Source, fetch, fetched, source_of
from tdnn.compare.tasks import TASKS

pytest.importorskip("pooch")
# After a failure pooch leaves its connection to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        self.server.asked.append(self.path)


@pytest.fixture
def server(tmp_path):
    """A folder that is served, its address, and the paths asked for so far."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Silent, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        web.asked = []
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{web.server_port}/", web.asked
        web.shutdown()
        thread.join()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def offer(server, tmp_path, monkeypatch):
    """Serves files under a name that can be fetched; the cache is empty."""
    monkeypatch.setenv("FASTRNN_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder, address, _ = server

    def add(name, files, entry, hashes=None):
        remotes = []
        for file, content in files.items():
            (folder / file).write_bytes(content)
            known = (hashes or {}).get(file, hashlib.sha256(content).hexdigest())
            remotes.append(Remote(address + file, known))
        source = Source("ts", "Some data", tuple(remotes), entry)
        monkeypatch.setitem(fetching.SOURCES, name, source)
        return source

    return add


def test_every_source_names_a_task_and_whole_hashes():
    for source in SOURCES.values():
        assert TASKS[source.task].takes == "data"
        for remote in source.remotes:
            assert re.fullmatch("[0-9a-f]{64}", remote.sha256)
            assert remote.url.startswith("https://")
            assert source_of(remote.sha256) is source
    assert source_of("0" * 64) is None


def test_files_are_fetched_once_and_told_of(offer, server, tmp_path):
    source = offer("some", {"a_TRAIN.ts": b"one", "a_TEST.ts": b"two"}, "a_TRAIN.ts")
    assert fetched("some") is None
    lines = []
    path = fetch("some", lines.append)
    assert path == tmp_path / "cache" / "some" / "a_TRAIN.ts"
    assert path.read_bytes() == b"one"
    assert path.with_name("a_TEST.ts").read_bytes() == b"two"
    assert [line.split()[1] for line in lines] == [remote.url for remote in source.remotes]
    assert fetched("some") == path
    assert fetch("some", lines.append) == path
    assert server[2] == ["/a_TRAIN.ts", "/a_TEST.ts"]
    assert len(lines) == 2


def test_a_damaged_copy_is_fetched_again(offer):
    offer("some", {"a.mat": b"one"}, "a.mat")
    fetch("some").write_bytes(b"damaged")
    assert fetch("some").read_bytes() == b"one"


def test_a_file_that_changed_is_refused_and_not_kept(offer, tmp_path):
    offer("some", {"a.mat": b"one"}, "a.mat", {"a.mat": "0" * 64})
    with pytest.raises(ComparisonError, match="fetch: .*a.mat is not the file it was") as caught:
        fetch("some")
    assert "\n" not in str(caught.value)
    assert fetched("some") is None


def test_what_cannot_be_reached_is_one_line(offer, server):
    offer("some", {"a.mat": b"one"}, "a.mat")
    (server[0] / "a.mat").unlink()
    with pytest.raises(ComparisonError, match="fetch: cannot get .*a.mat .*404") as caught:
        fetch("some")
    assert "\n" not in str(caught.value)


def archive():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        members.writestr("top/recordings/0_a_0.wav", b"sound")
    return file.getvalue()


def test_an_archive_is_unpacked_whole(offer):
    offer("some", {"v1.zip": archive()}, "v1/top/recordings")
    path = fetch("some")
    assert (path / "0_a_0.wav").read_bytes() == b"sound"
    (path / "0_a_0.wav").write_bytes(b"mine")
    assert (fetch("some") / "0_a_0.wav").read_bytes() == b"mine"  # not unpacked again
    assert sorted(file.name for file in path.parents[2].iterdir()) == ["v1", "v1.zip"]


def test_an_archive_that_cannot_be_unpacked_leaves_nothing(offer):
    offer("some", {"v1.zip": b"no archive"}, "v1/top")
    with pytest.raises(ComparisonError, match="fetch: cannot get .*v1.zip"):
        fetch("some")
    assert fetched("some") is None


def test_an_archive_without_what_it_should_hold_is_refused(offer):
    offer("some", {"v1.zip": archive()}, "v1/other")
    with pytest.raises(ComparisonError, match="fetch: some has no v1/other"):
        fetch("some")


def test_an_unknown_name_says_what_there_is_and_how_to_get_others():
    with pytest.raises(ComparisonError, match="no data set 'ptb' whose hash is known") as caught:
        fetch("ptb")
    for words in (*SOURCES, "--data PATH"):
        assert words in caught.value.hint
    assert "\n" not in str(caught.value)


def test_the_cache_is_the_user_s_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.delenv("FASTRNN_DATA", raising=False)
    assert "fastrnn" in str(fetching.cache())
    monkeypatch.setenv("FASTRNN_DATA", str(tmp_path))
    assert fetching.cache() == tmp_path
