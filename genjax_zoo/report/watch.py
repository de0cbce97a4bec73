"""`genjax-zoo watch RUN`: a run's page, made anew while it trains, for this machine's browsers only.

Two addresses, / and /version, and no path of a file in either: nothing else can be asked for. A name other than
localhost's in the request's Host is refused, because a web page elsewhere may point a name of its own here.
"""

import http.server
import threading
from pathlib import Path
from typing import Any

from genjax_zoo.errors import UserError
from genjax_zoo.report.gather import gather, state_of
from genjax_zoo.report.page import render

LOOPBACK = "127.0.0.1"
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def server_of(folder: Path, port: int = 0) -> http.server.ThreadingHTTPServer:
    """A server of a run's page on loopback, which answers once it is told to serve; port 0 is any that is free.

    Raises:
        FileNotFoundError: the folder holds no run.
        UserError: the port is taken, or none.
    """
    lock, made = threading.Lock(), {}

    def page(version: str) -> str:
        with lock:
            if version not in made:
                html = render(gather([folder], watched=version))
                made.clear()
                made[version] = html
            return made[version]

    class Handler(http.server.BaseHTTPRequestHandler):
        server_version, sys_version = "genjax-zoo", ""
        timeout = 20  # seconds, of a request that does not go on

        def do_GET(self):  # noqa: N802
            hosts = [f"{name}:{port_of(self.server)}" for name in (LOOPBACK, "localhost")]
            if self.headers.get("Host", "").lower() not in hosts:
                return self._answer(403, "This page is for this machine's own browsers: open the address as printed.")
            if self.path == "/version":
                return self._answer(200, state_of(folder))
            if self.path != "/":
                return self._answer(404, "There is nothing here but / and /version.")
            try:
                self._answer(200, page(state_of(folder)), "text/html")
            except (OSError, UserError) as error:  # the run was removed, say
                self._answer(500, str(error))

        do_HEAD = do_GET  # noqa: N815

        def _answer(self, status: int, text: str, kind: str = "text/plain") -> None:
            body = text.encode()
            self.send_response(status)
            for name, value in HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _refuse(self) -> None:
            self._answer(405, "This page is read-only: only GET and HEAD.")

        do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing: a line every two seconds would bury what the user was told."""

    page(state_of(folder))
    try:
        return http.server.ThreadingHTTPServer((LOOPBACK, port), Handler)
    except OSError as error:
        raise UserError(f"Port {port} cannot be had ({error.strerror}); use --port 0 for a free one.") from None
    except OverflowError:
        raise UserError(f"A port is 0 ... 65535, not {port}.") from None


def port_of(server: Any) -> int:
    """The port that a server has been given."""
    return server.server_address[1]
