"""A TCP proxy on the loopback interface that can be told, at any moment, to treat its connections badly.

    with Proxy(server.port) as proxy:
        client.connect(proxy.port)
        proxy.hold()      # half-open: connections stay, and nothing comes through, until `release()`
        proxy.cut()       # all connections end by a reset; new ones are served
        proxy.refuse()    # the same, and new ones are refused, until `release()`
        proxy.delay = 0.05

What was sent while it held arrives after `release()`, as a network delivers late packets.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from typing import Self

from tests.servers.ports import free_port

HOST = "127.0.0.1"
CHUNK = 64 * 1024
RESET = struct.pack("ii", 1, 0)  # linger for no time: the end is a reset, not a farewell


class Proxy:
    """Passes bytes between clients of `port` and the server on `target`; `delay` is seconds each way."""

    def __init__(self, target: int, *, delay: float = 0.0) -> None:
        self.target = target
        self.delay = delay
        self.port = free_port()
        self.connections = 0  # accepted since the start
        self.last_said = b""  # by any client: what is on its way to the server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._open = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def start(self) -> Self:
        self._thread.start()
        self.release()
        return self

    def close(self) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def hold(self) -> None:
        """Keep every connection, old or new, and let nothing through."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def cut(self) -> None:
        """End every connection by a reset, both ways."""
        self._do(self._cut())

    def refuse(self) -> None:
        """Cut, and listen no more."""
        self._do(self._refuse())

    def release(self) -> None:
        """Serve again; what was held goes on its way."""
        self._do(self._serve())

    def _do(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)  # type: ignore[arg-type]

    async def _serve(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port)
        self._open.set()

    async def _cut(self) -> None:
        for writer in list(self._writers):
            with contextlib.suppress(OSError):  # it has ended by itself
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _stop(self) -> None:
        await self._refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._keep(writer)
        await self._open.wait()  # or the server would greet, and end the guest who says nothing
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self.target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._keep(far_writer)
        self._spawn(self._pass_on(reader, far_writer, is_client=True))
        self._spawn(self._pass_on(far_reader, writer, is_client=False))

    def _keep(self, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)

    def _spawn(self, work: object) -> None:
        task: asyncio.Task[None] = self._loop.create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_client: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if is_client:
                    self.last_said = data
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        # One side has ended: so does the other, after what was under way to it.
        writer.close()
        self._writers.discard(writer)
