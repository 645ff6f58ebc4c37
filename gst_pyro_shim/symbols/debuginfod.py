# SPDX-License-Identifier: MIT
"""Debug files from debuginfod servers, in the background, into the cache that elfutils' own client uses.

Nothing waits for a server. `want` counts requests, one thread fetches the file with the most requests, and `arrived`
lists what was fetched. Variables, cache and limits are as in debuginfod-find(1): DEBUGINFOD_URLS,
DEBUGINFOD_CACHE_PATH, DEBUGINFOD_TIMEOUT, DEBUGINFOD_MAXTIME, DEBUGINFOD_MAXSIZE.

Context: agent; files are fetched on a daemon thread, which is abandoned at the end.
"""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from gst_pyro_shim.symbols import elf_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TIMEOUT_S: Final = 90.0
_MAX_TIME_S: Final = 600.0
_MAX_BYTES: Final = 1 << 30
_MISS_S: Final = 600.0
_CHUNK_BYTES: Final = 1 << 18
_BUILD_ID: Final = re.compile(r"[0-9a-f]{8,128}")
_URLS: Final = "DEBUGINFOD_URLS"


class _Limits(NamedTuple):
    timeout_s: float
    max_time_s: float
    max_bytes: int


class Debuginfod:
    """Fetches debug files by build id.

    Attributes:
        cache: folder of `<build id>/debuginfo`; the file is empty where no server has it.
    """

    def __init__(self, environ: Mapping[str, str], log: Callable[[str, str], None]) -> None:
        """Starts no thread yet.

        Args:
            environ: the host's.
            log: takes level and text.
        """
        self.cache = _cache_folder(environ)
        self._urls = environ.get(_URLS, "").split()
        self._limits = _Limits(
            _number(environ, "DEBUGINFOD_TIMEOUT", _TIMEOUT_S),
            _number(environ, "DEBUGINFOD_MAXTIME", _MAX_TIME_S),
            int(_number(environ, "DEBUGINFOD_MAXSIZE", _MAX_BYTES)),
        )
        self._log = log
        self._changed = threading.Condition()
        # under _changed
        self._wanted: dict[str, int] = {}
        self._arrived: list[str] = []
        self._asked: set[str] = set()
        self._thread: threading.Thread | None = None

    def want(self, build_id: str) -> None:
        """Counts one more request for a file: the one with the most requests is fetched first."""
        with self._changed:
            if build_id in self._asked or not _BUILD_ID.fullmatch(build_id):
                return
            self._wanted[build_id] = self._wanted.get(build_id, 0) + 1
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="gst-pyro-names", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def arrived(self, first: int) -> list[str]:
        """Build ids of fetched files, from index `first` on, in the order in which they were fetched."""
        with self._changed:
            return self._arrived[first:]

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._wanted:
                    self._changed.wait()
                build_id = max(self._wanted, key=self._wanted.__getitem__)
                del self._wanted[build_id]
                self._asked.add(build_id)
            try:
                is_here = self._get(build_id)
            except OSError as error:
                self._log("warning", f"debuginfod: the cache {self.cache} cannot be used: {error}")
                return
            if is_here:
                with self._changed:
                    self._arrived.append(build_id)

    def _get(self, build_id: str) -> bool:
        """Fetches a file, and the alternate one (dwz) that it refers to, unless the cache has them.

        Returns:
            Whether the file is in the cache now.

        Raises:
            OSError: the cache cannot be written to.
        """
        path = self.cache / build_id / "debuginfo"
        if not self._has(path) and not self._fetch(build_id, path):
            return False
        alternate = elf_file.alternate_build_id(str(path))
        if _BUILD_ID.fullmatch(alternate):
            other = self.cache / alternate / "debuginfo"
            if not self._has(other):
                self._fetch(alternate, other)
        return True

    @staticmethod
    def _has(path: Path) -> bool:
        try:
            return path.stat().st_size > 0
        except OSError:
            return False

    def _fetch(self, build_id: str, path: Path) -> bool:
        try:
            missed = path.stat()
        except OSError:
            pass
        else:
            if time.time() - missed.st_mtime < _MISS_S:
                return False
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unknown_everywhere = True
        for url in self._urls:
            part = path.with_name(f"debuginfo.{os.getpid()}")
            try:
                found = self._download(f"{url.rstrip('/')}/buildid/{build_id}/debuginfo", part)
                if found:
                    part.replace(path)
                    self._log("info", f"debuginfod: {build_id} came from {url}")
                    return True
            except (OSError, ValueError) as error:
                unknown_everywhere = False
                self._log("info", f"debuginfod: {url}: {error}")
            finally:
                part.unlink(missing_ok=True)
        if unknown_everywhere:
            path.unlink(missing_ok=True)
            path.touch(mode=0o600)
        return False

    def _download(self, url: str, part: Path) -> bool:
        """Writes what a server has into `part`; False where it has none.

        Raises:
            OSError: no answer, or none in time.
            ValueError: the file is too big, or `url` is no HTTP address.
        """
        # Imported here: it takes 50 ms, and on this thread nobody waits for it.
        from http.client import HTTPException
        from urllib.error import HTTPError
        from urllib.request import urlopen

        if not url.startswith(("http://", "https://")):
            raise ValueError("it is no http:// or https:// address")
        end = time.monotonic() + self._limits.max_time_s
        size = 0
        try:
            with (
                urlopen(url, timeout=self._limits.timeout_s) as answer,  # noqa: S310  checked above
                part.open("wb") as out,
            ):
                while chunk := answer.read(_CHUNK_BYTES):
                    size += len(chunk)
                    if size > self._limits.max_bytes:
                        raise ValueError(f"the file has more than {self._limits.max_bytes} bytes")
                    if time.monotonic() > end:
                        raise TimeoutError("the download takes too long")
                    out.write(chunk)
        except HTTPError as error:
            with error:  # it is also the answer, to be closed
                if error.code == 404:
                    return False
                raise
        except HTTPException as error:
            raise OSError(f"no HTTP answer: {error!r}") from error
        return size > 0


def debuginfod_of(environ: Mapping[str, str], log: Callable[[str, str], None]) -> Debuginfod | None:
    """A client where DEBUGINFOD_URLS names servers, else None. ELF files opened from now on find what it fetches.

    Args:
        environ: the host's.
        log: takes level and text.
    """
    if not environ.get(_URLS, "").split():
        return None
    client = Debuginfod(environ, log)
    elf_file.use_cache(str(client.cache))
    return client


def _cache_folder(environ: Mapping[str, str]) -> Path:
    if set_path := environ.get("DEBUGINFOD_CACHE_PATH"):
        return Path(set_path)
    base = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", "/"), ".cache")
    return Path(base) / "debuginfod_client"


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    """A positive number; as in elfutils, the default in place of anything else."""
    try:
        value = float(environ.get(name, ""))
    except ValueError:
        return default
    return value if value > 0 else default
