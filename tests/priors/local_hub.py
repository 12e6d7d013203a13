"""A model hub on this machine: as much of its protocol as a download needs, with faults on request."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

NEWEST = "c0ffee" * 6 + "beef"
"""The commit that `main` is."""


class LocalHub:
    """Serves folders as repositories, the same at every commit that is asked for by its number.

    Args:
        repositories: folders by `owner/name`.
    """

    def __init__(self, repositories: dict[str, Path]) -> None:
        self.repositories = repositories
        self.cut_short: set[str] = set()
        """Names of files of which half is sent before the connection ends."""
        self.served: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                hub.answer(self, with_body=False)

            def do_GET(self) -> None:
                hub.answer(self, with_body=True)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, with_body: bool) -> None:
        parts = unquote(urlsplit(request.path).path).strip("/").split("/")
        is_api = parts[:2] == ["api", "models"]
        repository = "/".join(parts[2:4] if is_api else parts[:2])
        if repository not in self.repositories:
            _send(request, 404, b"{}", {"X-Error-Code": "RepoNotFound"}, with_body)
        elif is_api:
            body = self._tree(repository) if "tree" in parts else self._info(repository, _commit(parts[-1]))
            _send(request, 200, json.dumps(body).encode(), {"Content-Type": "application/json"}, with_body)
        else:
            path = self.repositories[repository] / "/".join(parts[4:])
            self._send_file(request, path, _commit(parts[3]), with_body)

    def _files(self, repository: str) -> list[Path]:
        return sorted(path for path in self.repositories[repository].rglob("*") if path.is_file())

    def _info(self, repository: str, commit: str) -> dict:
        root = self.repositories[repository]
        files = [
            {"rfilename": path.relative_to(root).as_posix(), "size": path.stat().st_size}
            for path in self._files(repository)
        ]
        return {"id": repository, "sha": commit, "siblings": files}

    def _tree(self, repository: str) -> list[dict]:
        root = self.repositories[repository]
        return [
            {
                "type": "file",
                "path": path.relative_to(root).as_posix(),
                "size": path.stat().st_size,
                "oid": _digest(path),
            }
            for path in self._files(repository)
        ]

    def _send_file(self, request: BaseHTTPRequestHandler, path: Path, commit: str, with_body: bool) -> None:
        if not path.is_file():
            _send(request, 404, b"", {"X-Error-Code": "EntryNotFound"}, with_body)
            return
        content = path.read_bytes()
        headers = {"ETag": f'"{_digest(path)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        start = int(request.headers.get("Range", "bytes=0-").split("=")[1].split("-")[0])
        if with_body:
            self.served.append(path.name)
        if with_body and path.name in self.cut_short:
            _send(request, 200, content[: len(content) // 2], headers, True, length=len(content))
            request.close_connection = True
        else:
            _send(request, 206 if start else 200, content[start:], headers, with_body)


def _commit(revision: str) -> str:
    return revision if len(revision) == 40 else NEWEST


def _digest(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()  # what the protocol calls an object id


def _send(
    request: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: dict[str, str],
    with_body: bool,
    length: int | None = None,
) -> None:
    request.send_response(status)
    for key, value in {**headers, "Content-Length": str(len(body) if length is None else length)}.items():
        request.send_header(key, value)
    request.end_headers()
    if with_body:
        request.wfile.write(body)
