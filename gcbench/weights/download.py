"""One file over HTTP into a part beside its place: a cut download is resumed.

What the server says of the file's version (its ETag, else its date) is kept beside the part. The rest is asked for
with `Range` and `If-Range`, so that a file which changed meanwhile, or a server that knows no ranges, gives the whole
file from the start and never a mixture. Knows nothing of weights.
"""

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from urllib.parse import urlsplit

from gcbench.core.errors import UserError

CHUNK = 1 << 18  # bytes
MOST = 1 << 35
"""Bytes of a file whose size is not known."""

OPENER = urllib.request.OpenerDirector()
"""Knows the web alone: whatever a server redirects to, no file of this machine is read."""
for handler in (
    *(urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler),
    *(urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPRedirectHandler, urllib.request.HTTPErrorProcessor),
    urllib.request.UnknownHandler,
):
    OPENER.add_handler(handler())
BY_HAND = "try later, or get the file by hand and give it with --from FILE"
AGAIN = "run this again to resume"

Progress = Callable[[int, int | None], object]
"""Called with the bytes that are here and the bytes of the whole file, None where the server does not say."""


def version_of(part: Path) -> Path:
    """The file that holds the version of which `part` is a part."""
    return part.with_name(part.name + ".version")


def discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    version_of(part).unlink(missing_ok=True)


def download(url: str, part: Path, progress: Progress, timeout: float = 30.0, size: int | None = None) -> None:
    """Fill `part` with the file at `url`, from the start or from where an earlier call was cut.

    timeout: seconds without a byte. size: the file's bytes; None where not known: then MOST bounds it.

    Raises:
        UserError: a file of another size, known before it is here; an address that is not the web's; an HTTP error, no
            connection, a cut one (the part stays, for the next call), a place that cannot be written.
    """
    done, known = _state(part)
    headers = {"User-Agent": "gcbench"}
    if known:
        headers |= {"Range": f"bytes={done}-", "If-Range": known}
    if urlsplit(url).scheme not in ("http", "https"):
        raise UserError(f"{url} is no address of the web; {BY_HAND}")
    host = urlsplit(url).netloc
    try:
        with OPENER.open(urllib.request.Request(url, headers=headers), timeout=timeout) as response:
            if response.status != http.client.PARTIAL_CONTENT:
                done = 0
            elif _first_byte(response.headers) != done:
                raise UserError(f"{host} sent another range of {url} than asked for; delete {part} and run this again")
            total = None if response.length is None else done + response.length
            if total is not None and (total != size if size is not None else total > MOST):
                if done:  # the part is of another file
                    discard(part)
                raise UserError(f"{host} offers {total} bytes as {url}, not {size or f'at most {MOST}'}; {BY_HAND}")
            done = _receive(response, part, done, total, progress, size or MOST)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and known:  # the part is no part of this file
            discard(part)
            return download(url, part, progress, timeout, size)
        raise UserError(f"{url} answers {error.code} {error.reason}; {BY_HAND}") from None
    except urllib.error.URLError as error:
        raise UserError(f"{host} cannot be reached ({_reason(error.reason)}); {BY_HAND}") from None
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"the connection to {host} broke ({_reason(error)}); {AGAIN}") from None
    if total is not None and done < total:
        raise UserError(f"the connection to {host} was cut at {done} of {total} bytes; {AGAIN}")


def reachable(url: str, timeout: float = 1.5) -> bool:
    """Whether a server answers for `url`, whatever it says."""
    try:
        OPENER.open(urllib.request.Request(url, method="HEAD"), timeout=timeout).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, http.client.HTTPException, ValueError):
        return False
    return True


def _state(part: Path) -> tuple[int, str]:
    """Bytes that an earlier call left and the version that they are of; 0 and "" where nothing can be resumed."""
    try:
        return part.stat().st_size, version_of(part).read_text("utf-8", "replace")
    except OSError:
        return 0, ""


def _receive(
    response: http.client.HTTPResponse, part: Path, done: int, total: int | None, progress: Progress, most: int
) -> int:
    """Append the body to the first `done` bytes of `part`; returns the bytes that are here then.
    UserError: there are more than `most`; the part is deleted."""
    with writing(part):
        if not done:
            part.unlink(missing_ok=True)  # before its version is another
            version_of(part).write_text(_version(response.headers), "utf-8", "replace")
        with open(part, "ab") as stream:
            progress(done, total)
            while chunk := _read(response):
                stream.write(chunk)
                done += len(chunk)
                if done > most:
                    break
                progress(done, total)
    if done > most:
        discard(part)
        raise UserError(f"the server sends more than the {most} bytes of {part.stem}, which is deleted; {BY_HAND}")
    return done


def _read(response: http.client.HTTPResponse) -> bytes:
    """The next bytes; an error here is the connection's, not the disk's."""
    try:
        return response.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"the connection broke ({_reason(error)}); {AGAIN}") from None


def _version(headers: Message) -> str:
    """What `If-Range` may hold: a strong ETag, else the date of the last change, else nothing."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _first_byte(headers: Message) -> int | None:
    match = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _reason(error: object) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one sentence that `path` cannot be written: no permission, a full disk, a file for a folder."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({_reason(error)}); free space, or choose another place with GCBENCH_WEIGHTS"
        ) from None
