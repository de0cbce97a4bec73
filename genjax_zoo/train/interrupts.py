"""SIGINT and SIGTERM: a step is finished and saved; an evaluation, a compilation or a drawing is left at once."""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

GRACE = 5.0  # seconds for what is left at once to notice: a compiler does not, before it is done


class Interrupts:
    """Turns SIGINT and SIGTERM into a flag for the time of a `with`; a second signal acts at once.

    Signals reach the main thread of a process alone; in another, nothing is turned.
    """

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._nothing_to_lose = threading.Event()

    def is_set(self) -> bool:
        """Whether a signal has come."""
        return self._asked.is_set()

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Around what may be left at any point, all that matters being saved: a signal raises KeyboardInterrupt.

        Where the main thread is deep in a library and does not hear it, the process ends after `GRACE` seconds.
        """
        self._nothing_to_lose.set()
        try:
            if self.is_set():
                raise KeyboardInterrupt
            yield
        finally:
            self._nothing_to_lose.clear()

    def __enter__(self) -> "Interrupts":
        self._previous: dict[int, Any] = {}
        if threading.current_thread() is not threading.main_thread():
            return self

        def handle(number: int, frame: Any) -> None:
            again = self.is_set()
            self._asked.set()
            if again or self._nothing_to_lose.is_set():
                raise KeyboardInterrupt

        self._heard, self._told = socket.socketpair()  # written to when a signal comes, whatever the main thread does
        self._told.setblocking(False)
        self._over = threading.Event()
        self._descriptor = signal.set_wakeup_fd(self._told.fileno(), warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._previous:
            return
        self._over.set()
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._descriptor)
        self._told.close()  # which ends the thread

    def _watch(self) -> None:
        with self._heard:
            while (number := self._heard.recv(1)) and number[0] not in (signal.SIGINT, signal.SIGTERM):
                pass
            if not number or self._over.wait(GRACE) or not self._nothing_to_lose.is_set():
                return
            print("genjax-zoo: Stopped; run the same command to go on.", file=sys.stderr, flush=True)
            os._exit(130)
