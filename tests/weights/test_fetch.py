"""Fetching official files from a server on loopback that cuts, lies, forgets and stalls."""

import hashlib
import http.server
import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from gcbench.core.errors import UserError
from gcbench.weights.download import download
from gcbench.weights.fetch import fetch

BODY = save({"weight": torch.arange(30_000, dtype=torch.float32)})
OTHER = save({"weight": torch.arange(30_000, dtype=torch.float32).flip(0)})
assert len(BODY) == len(OTHER)


class Server:
    """What it answers next, and what it was asked."""

    def __init__(self) -> None:
        self.body = BODY
        self.version: dict[str, str] = {"ETag": '"one"'}
        self.ranges = True
        self.shift = 0  # of the range that is sent from the one asked for
        self.cut: int | None = None  # bytes of a body after which the connection is closed
        self.code = 200
        self.moved = ""  # where it redirects to
        self.chunked = False
        self.reset = False  # rather than close an answer that is cut
        self.until: Callable[[], bool] = lambda: True  # silent until then, after an answer that is cut
        self.over = threading.Event()
        self.asked: list[dict[str, str]] = []
        self.sent = 0
        self.came, self.go = threading.Event(), threading.Event()
        self.go.set()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.asked.append(dict(self.headers.items()))
                site.came.set()
                site.go.wait()
                site.answer(self)
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/file.safetensors"

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        if self.code != 200:
            return handler.send_error(self.code)
        if self.moved:
            handler.send_response(302)
            handler.send_header("Location", self.moved)
            return handler.end_headers()
        wanted = handler.headers.get("Range") if self.ranges else None
        if handler.headers.get("If-Range") not in self.version.values():
            wanted = None
        first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if wanted and first >= len(self.body):
            return handler.send_error(416)
        first += self.shift if wanted else 0
        body = self.body[first:]
        handler.send_response(206 if wanted else 200)
        for name, value in self.version.items():
            handler.send_header(name, value)
        if wanted:
            handler.send_header("Content-Range", f"bytes {first}-{len(self.body) - 1}/{len(self.body)}")
        if self.chunked:
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
            if self.cut is None:
                handler.wfile.write(b"0\r\n\r\n")
            return None
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        self.sent += len(body[: self.cut])
        handler.wfile.write(body[: self.cut])
        while not self.until():
            time.sleep(0.01)
        if self.reset:
            linger = struct.pack("ii", 1, 0)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            handler.connection.close()
        return None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.go.set()
    made.over.set()
    made.http.shutdown()
    thread.join()
    made.http.server_close()


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of weights."""
    monkeypatch.setenv("GCBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.delenv("GCBENCH_OFFLINE", raising=False)
    return tmp_path / "weights"


def write_manifest(folder: Path, url: str, body: bytes = BODY, **changes: Any) -> Path:
    entry = {
        "role": "clip",
        "what": "a test",
        "url": url,
        "file": "file.safetensors",
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "sha256_prefix": None,
        "licence": "CC0",
    }
    path = folder / "manifest.json"
    path.write_text(json.dumps({"thing": entry | changes}))
    return path


@pytest.fixture
def manifest(tmp_path: Path, server: Server) -> Path:
    return write_manifest(tmp_path, server.url)


@pytest.fixture
def unknown(tmp_path: Path, server: Server) -> Path:
    """A manifest that knows neither size nor hash."""
    return write_manifest(tmp_path, server.url, size=None, sha256=None)


def files(root: Path) -> list[str]:
    """What lies below, without the lock."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_a_whole_file_arrives_in_its_place_with_its_progress(server: Server, manifest: Path, root: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch("thing", manifest=manifest, progress=lambda done, total: seen.append((done, total)))
    assert path == root / "thing" / "file.safetensors"
    assert path.read_bytes() == BODY
    assert files(root) == ["thing/file.safetensors"]
    assert seen[0] == (0, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    assert len(server.asked) == 1
    assert "Range" not in server.asked[0]


def test_what_is_here_is_not_fetched_again(server: Server, manifest: Path, root: Path) -> None:
    fetch("thing", manifest=manifest)
    fetch("thing", manifest=manifest)
    assert len(server.asked) == 1


@pytest.mark.parametrize("version", [{"ETag": '"one"'}, {"Last-Modified": "Tue, 02 Jun 2020 19:09:46 GMT"}])
def test_a_cut_download_goes_on_where_it_stopped(
    server: Server, manifest: Path, root: Path, version: dict[str, str]
) -> None:
    server.version, server.cut = version, 40_000
    with pytest.raises(UserError, match=rf"cut at 40000 of {len(BODY)} bytes; run this again"):
        fetch("thing", manifest=manifest)
    assert files(root) == ["thing/file.safetensors.part", "thing/file.safetensors.part.version"]
    assert (root / "thing/file.safetensors.part").read_bytes() == BODY[:40_000]
    server.cut = 30_000
    with pytest.raises(UserError, match="cut at 70000"):
        fetch("thing", manifest=manifest)
    server.cut = None
    assert fetch("thing", manifest=manifest).read_bytes() == BODY
    assert [asked.get("Range") for asked in server.asked] == [None, "bytes=40000-", "bytes=70000-"]
    assert {asked.get("If-Range") for asked in server.asked[1:]} == set(version.values())
    assert server.sent == len(BODY)  # not a byte twice
    assert files(root) == ["thing/file.safetensors"]


def test_progress_of_a_resumed_download_begins_in_the_middle(server: Server, manifest: Path, root: Path) -> None:
    server.cut = 40_000
    with pytest.raises(UserError):
        fetch("thing", manifest=manifest)
    server.cut = None
    seen: list[tuple[int, int | None]] = []
    fetch("thing", manifest=manifest, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (40_000, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))


def test_a_server_without_ranges_sends_the_whole_file_again(server: Server, manifest: Path, root: Path) -> None:
    server.cut = 40_000
    with pytest.raises(UserError):
        fetch("thing", manifest=manifest)
    server.cut, server.ranges = None, False
    assert fetch("thing", manifest=manifest).read_bytes() == BODY
    assert server.asked[1]["Range"] == "bytes=40000-"


@pytest.mark.parametrize("version", [{}, {"ETag": 'W/"weak"'}])
def test_without_a_version_that_can_be_compared_a_download_starts_anew(
    server: Server, manifest: Path, root: Path, version: dict[str, str]
) -> None:
    server.version, server.cut = version, 40_000
    with pytest.raises(UserError):
        fetch("thing", manifest=manifest)
    server.cut = None
    assert fetch("thing", manifest=manifest).read_bytes() == BODY
    assert "Range" not in server.asked[1]


def test_parts_of_two_versions_are_never_mixed(server: Server, unknown: Path, root: Path) -> None:
    """The manifest knows no hash here: only the version that the server states tells them apart."""
    server.cut = 40_000
    with pytest.raises(UserError):
        fetch("thing", manifest=unknown)
    server.cut, server.body, server.version = None, OTHER, {"ETag": '"two"'}
    assert fetch("thing", manifest=unknown).read_bytes() == OTHER


def test_a_part_that_is_longer_than_the_file_is_thrown_away(server: Server, unknown: Path, root: Path) -> None:
    server.body, server.cut = BODY + BODY, len(BODY) + 5
    with pytest.raises(UserError):
        fetch("thing", manifest=unknown)
    server.body, server.cut = BODY, None
    assert fetch("thing", manifest=unknown).read_bytes() == BODY
    assert [asked.get("Range") for asked in server.asked] == [None, f"bytes={len(BODY) + 5}-", None]


def test_another_range_than_asked_for_is_refused(server: Server, unknown: Path, root: Path) -> None:
    server.cut = 40_000
    with pytest.raises(UserError):
        fetch("thing", manifest=unknown)
    server.cut, server.shift = None, -16
    with pytest.raises(UserError, match=r"another range .* delete .*file\.safetensors\.part"):
        fetch("thing", manifest=unknown)
    assert not (root / "thing/file.safetensors").exists()


@pytest.mark.parametrize("cut", [None, 1])
def test_a_file_of_unstated_length(server: Server, unknown: Path, root: Path, cut: int | None) -> None:
    server.chunked, server.cut = True, cut
    if cut is None:
        assert fetch("thing", manifest=unknown).read_bytes() == BODY
    else:
        with pytest.raises(UserError, match=r"broke .*run this again"):
            fetch("thing", manifest=unknown)
        assert not (root / "thing/file.safetensors").exists()


@pytest.mark.parametrize("changes", [{}, {"sha256": None, "sha256_prefix": hashlib.sha256(BODY).hexdigest()[:8]}])
def test_a_wrong_hash_deletes_what_came_and_says_so(
    server: Server, tmp_path: Path, root: Path, changes: dict[str, Any]
) -> None:
    manifest = write_manifest(tmp_path, server.url, **changes)
    server.body = OTHER
    with pytest.raises(UserError, match=r"another file than the published one, it is deleted again: its SHA-256"):
        fetch("thing", manifest=manifest)
    assert files(root) == []
    server.body = BODY
    assert fetch("thing", manifest=manifest).read_bytes() == BODY
    assert "Range" not in server.asked[1]


@pytest.mark.parametrize("body", [BODY + b"more", BODY[:-1], b""])
def test_another_size_than_the_published_is_refused_before_it_comes(
    server: Server, manifest: Path, root: Path, body: bytes
) -> None:
    server.body = body
    with pytest.raises(UserError, match=rf"offers {len(body)} bytes as .*, not {len(BODY)};"):
        fetch("thing", manifest=manifest)
    assert files(root) == []


def test_a_server_that_states_no_length_sends_no_more_than_the_published(
    server: Server, manifest: Path, root: Path
) -> None:
    server.body, server.chunked = BODY * 20, True
    with pytest.raises(UserError, match=rf"sends more than the {len(BODY)} bytes .* deleted"):
        fetch("thing", manifest=manifest)
    assert files(root) == []


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x"])
def test_no_server_leads_to_what_is_not_the_web(server: Server, tmp_path: Path, root: Path, target: str) -> None:
    server.moved = target
    with pytest.raises(UserError, match=r"redirect|answers 302|cannot be reached"):
        fetch("thing", manifest=write_manifest(tmp_path, server.url))
    with pytest.raises(UserError, match="no address of the web"):
        fetch("thing", manifest=write_manifest(tmp_path, target))
    assert files(root) == []


def test_a_page_in_the_place_of_a_file_without_a_known_hash_is_refused(
    server: Server, unknown: Path, root: Path
) -> None:
    server.body = b"<html>log in to this network first</html>"
    with pytest.raises(UserError, match=r"deleted again: .* cannot be read as safetensors"):
        fetch("thing", manifest=unknown)
    assert files(root) == []


class Evil:
    def __init__(self, proof: Path):
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.proof),)


def test_a_pickle_that_runs_code_is_refused_though_its_hash_is_right(
    server: Server, tmp_path: Path, root: Path
) -> None:
    proof = tmp_path / "it ran"
    torch.save({"state_dict": Evil(proof)}, tmp_path / "evil.pth")
    server.body = (tmp_path / "evil.pth").read_bytes()
    manifest = write_manifest(tmp_path, server.url, server.body, file="evil.pth")
    with pytest.raises(UserError, match=r"deleted again: .* is refused: it names 'posix.mkdir'"):
        fetch("thing", manifest=manifest)
    assert not proof.exists()
    assert files(root) == []
    pickle.loads(pickle.dumps(Evil(proof)))  # elsewhere it would have run
    assert proof.exists()


@pytest.mark.parametrize("code", [403, 404, 500])
def test_an_http_error_is_one_sentence(server: Server, manifest: Path, root: Path, code: int) -> None:
    server.code = code
    with pytest.raises(UserError, match=rf"{server.url} answers {code} .*--from FILE"):
        fetch("thing", manifest=manifest)
    assert files(root) == []


def test_a_refused_connection_is_one_sentence(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        manifest = write_manifest(tmp_path, f"http://{address}/file.safetensors")
        with pytest.raises(UserError, match=rf"{address} cannot be reached \(Connection refused\)"):
            fetch("thing", manifest=manifest)


def test_an_unknown_host_is_one_sentence(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UserError, match=r"weights\.invalid cannot be reached \(Name or service not known\)"):
        fetch("thing", manifest=write_manifest(tmp_path, "https://weights.invalid/file.safetensors"))


def test_a_server_that_falls_silent_is_left(server: Server, tmp_path: Path) -> None:
    server.go.clear()
    with pytest.raises(UserError, match=r"the connection to 127.* broke \(timed out\); run this again"):
        download(server.url, tmp_path / "part", lambda done, total: None, timeout=0.1)


def test_silence_in_the_middle_of_a_file_is_not_taken_for_a_full_disk(server: Server, tmp_path: Path) -> None:
    server.cut, server.until = 40_000, server.over.is_set
    with pytest.raises(UserError, match=r"the connection broke \(timed out\); run this again"):
        download(server.url, tmp_path / "part", lambda done, total: None, timeout=1.0)


def test_a_reset_connection_is_not_taken_for_a_full_disk(server: Server, manifest: Path, root: Path) -> None:
    part = root / "thing/file.safetensors.part"
    server.cut, server.reset, server.until = 40_000, True, part.exists
    with pytest.raises(UserError, match=r"the connection broke \(Connection reset by peer\); run this again"):
        fetch("thing", manifest=manifest)
    server.cut, server.reset = None, False
    assert fetch("thing", manifest=manifest).read_bytes() == BODY


def test_offline_names_the_file_and_its_place_at_once(
    server: Server, manifest: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCBENCH_OFFLINE", "1")
    with pytest.raises(UserError) as caught:
        fetch("thing", manifest=manifest)
    assert str(caught.value) == (
        f"GCBENCH_OFFLINE is set; get {server.url} by hand and put it at {root / 'thing' / 'file.safetensors'}"
    )
    assert server.asked == []
    assert not root.exists()
    monkeypatch.setenv("GCBENCH_OFFLINE", "0")
    fetch("thing", manifest=manifest)
    monkeypatch.setenv("GCBENCH_OFFLINE", "1")
    fetch("thing", manifest=manifest)  # it is here
    assert len(server.asked) == 1


def test_a_copy_given_by_hand_is_verified_and_taken_without_a_network(
    server: Server, manifest: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCBENCH_OFFLINE", "1")
    given = tmp_path / "downloaded (1)"
    given.write_bytes(BODY)
    assert fetch("thing", given=given, manifest=manifest).read_bytes() == BODY
    assert files(root) == ["thing/file.safetensors"]
    assert given.exists()
    assert server.asked == []


def test_a_wrong_copy_given_by_hand_is_refused_and_left_alone(
    server: Server, manifest: Path, root: Path, tmp_path: Path
) -> None:
    given = tmp_path / "wrong.safetensors"
    given.write_bytes(OTHER)
    with pytest.raises(UserError, match=r"--from .*wrong.safetensors is not the published file.safetensors: its SHA"):
        fetch("thing", given=given, manifest=manifest)
    assert given.read_bytes() == OTHER
    with pytest.raises(UserError, match=r"--from .*nowhere is not a file"):
        fetch("thing", given=tmp_path / "nowhere", manifest=manifest)
    assert files(root) == []


def test_a_damaged_file_in_the_place_is_replaced(server: Server, manifest: Path, root: Path) -> None:
    path = fetch("thing", manifest=manifest)
    path.write_bytes(OTHER)
    said: list[str] = []
    assert fetch("thing", manifest=manifest, say=said.append).read_bytes() == BODY
    assert "is replaced: its SHA-256" in said[0]


def test_a_place_that_cannot_be_written_is_one_sentence(server: Server, manifest: Path, root: Path) -> None:
    root.write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"file\.safetensors cannot be written .*GCBENCH_WEIGHTS"):
        fetch("thing", manifest=manifest)
    assert server.asked == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_not_taken_for_a_broken_connection(server: Server, manifest: Path, root: Path) -> None:
    (root / "thing").mkdir(parents=True)
    (root / "thing/file.safetensors.part.version").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        fetch("thing", manifest=manifest)


FETCH = """
import sys, pathlib
from gcbench.weights import fetch as module
module.fault_of = lambda entry, file: entry.fault(file)  # verify, but do not load: torch takes seconds to import
module.fetch("thing", manifest=pathlib.Path(sys.argv[1]), say=lambda text: print(text, flush=True))
"""


def test_of_two_processes_one_downloads_and_the_other_waits(server: Server, manifest: Path, root: Path) -> None:
    def start() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", FETCH, str(manifest)], stdout=subprocess.PIPE, text=True)

    server.go.clear()
    with start() as first:
        try:
            assert server.came.wait()
            with start() as second:
                try:
                    assert second.stdout is not None
                    assert "another process brings file.safetensors" in second.stdout.readline()
                    server.go.set()
                    assert (first.wait(), second.wait()) == (0, 0)
                    assert "is here by now" in second.stdout.read()
                finally:
                    second.kill()
        finally:
            first.kill()
    assert len(server.asked) == 1
    assert (root / "thing/file.safetensors").read_bytes() == BODY


def test_the_part_of_a_killed_process_is_gone_on_with(server: Server, manifest: Path, root: Path) -> None:
    """Its lock dies with it, and what it wrote stays."""
    server.go.clear()
    with subprocess.Popen([sys.executable, "-c", FETCH, str(manifest)]) as first:
        assert server.came.wait()
        first.kill()
    (root / "thing/file.safetensors.part").write_bytes(BODY[:50_000])
    (root / "thing/file.safetensors.part.version").write_text('"one"')
    server.go.set()
    assert fetch("thing", manifest=manifest).read_bytes() == BODY
    assert server.asked[1]["Range"] == "bytes=50000-"
