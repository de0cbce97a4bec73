"""A page that is watched: it follows its run, and only this machine may ask for it."""

import http.client
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading

import pytest
import run_folders
from page_elements import foreign

from genjax_zoo.report.watch import port_of, server_of


@pytest.fixture
def run(tmp_path):
    return run_folders.trained(tmp_path / "one")


@pytest.fixture
def served(run):
    with server_of(run) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, path="/", method="GET", host=None):
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True)
        if host != "":
            connection.putheader("Host", host or f"127.0.0.1:{port_of(server)}")
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def test_watch_serves_the_page(served, run):
    status, text, headers = ask(served)
    assert status == 200 and foreign(text) == [] and 'data-watched="' in text
    assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
    assert ask(served, method="HEAD")[:2] == (200, "")
    assert ask(served, host=f"LOCALHOST:{port_of(served)}")[0] == 200
    _, version, _ = ask(served, "/version")
    assert ask(served, "/version")[1] == version and f'data-watched="{version}"' in text
    run_folders.log(run, step=777, **{"vae/loss": 1.0})
    assert ask(served, "/version")[1] != version and "step 777" in ask(served)[1]
    shutil.rmtree(run)
    assert ask(served)[0] == 500 and "holds no run" in ask(served)[1]


@pytest.mark.parametrize("path", ["/config.json", "/../config.json", "/%2e%2e/config.json", "/?a", "/version/", "*"])
def test_watch_has_no_other_address(served, path):
    status, text, _ = ask(served, path)
    assert status == 404 and "model_digits" not in text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE"])
def test_watch_is_read_only(served, method):
    assert ask(served, method=method)[0] in (405, 501)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "localhost:1", ""])
def test_watch_answers_to_its_own_name_only(served, host):
    assert ask(served, host=host)[0] == 403 and ask(served, "/version", host=host)[0] == 403


def test_watch_is_on_loopback_only(served):
    assert served.server_address[0] == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port_of(served)), timeout=5).close()


@pytest.mark.processes
def test_watch_waits_and_ends(tmp_path):
    folder = run_folders.start(tmp_path / "new")
    command = [sys.executable, "-m", "genjax_zoo", "watch", str(folder)]
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background ignores it, and so would it
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        signal.signal(signal.SIGINT, before)
        try:
            assert process.stdout is not None
            port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())[1])  # type: ignore[index]
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/")
            assert b"Waiting for the first numbers" in connection.getresponse().read()
            connection.close()
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)
            assert (process.returncode, error) == (0, "")
        finally:
            process.kill()  # where it has not ended
