"""SIGTERM and SIGINT: the first one starts the shutdown, the second one ends the gateway at once."""

from __future__ import annotations

import asyncio
import logging
import signal

_log = logging.getLogger("sidecar")


class StopSignals:
    """`first` and `again` are set when the signals arrive. `delay_s`: how long the gateway serves on after the
    first."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self.first = asyncio.Event()
        self.again = asyncio.Event()
        self.number = signal.SIGTERM

    def listen(self) -> None:
        """Listens on the running event loop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)

    @property
    def exit_code(self) -> int:
        """The exit code of a gateway that was ended at once."""
        return 128 + self.number

    async def delay_passed(self) -> None:
        """Also returns at the second signal."""
        try:
            async with asyncio.timeout(self._delay_s):
                await self.again.wait()
        except TimeoutError:
            _log.info("Stopping now. New calls are refused.")

    def _on_signal(self, number: signal.Signals) -> None:
        self.number = number
        if self.first.is_set():
            _log.warning("%s: Stopping at once.", number.name)
            self.again.set()
            return
        serving = f" in {self._delay_s:g} s; serving until then, but not ready" if self._delay_s else ""
        text = "%s: Stopping%s. Calls in progress may finish; send it again to stop at once."
        _log.info(text, number.name, serving)
        self.first.set()
