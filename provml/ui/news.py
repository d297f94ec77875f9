"""Sends the changes of a store to every open page, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import orjson
from starlette.concurrency import run_in_threadpool

from provml.ui.store_changes import Changes, StoreWatch

_PERIOD_S: Final = 1.0
_REST: Final = 10
"""After a slow look at the store, the pause lasts this many times as long as the look."""

_SILENCE_S: Final = 15
MOST_PAGES: Final = 100


class _Page:
    """An open page, and the changes that have not been sent to it yet."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.woken = asyncio.Event()


class News:
    """Watches the store while any page is open, and sends the changes to all pages.

    If a page reads slowly, its changes are combined into one message, so memory does not grow.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._pages: set[_Page] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether the maximum number of pages is open."""
        return len(self._pages) >= MOST_PAGES

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield the messages for one page until the page is closed."""
        page = _Page()
        self._pages.add(page)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look_often())
        try:
            yield b"retry: 2000\n: the changes of the store follow\n\n"
            while True:
                try:
                    await asyncio.wait_for(page.woken.wait(), _SILENCE_S)
                except TimeoutError:
                    yield b": nothing new\n\n"  # sending this shows whether the page is still open
                    continue
                page.woken.clear()
                changes, page.changes = page.changes, Changes()
                yield b"data: " + _to_json(changes) + b"\n\n"
        finally:
            self._pages.discard(page)

    async def _look_often(self) -> None:
        watch = StoreWatch(self._store)
        await run_in_threadpool(watch.look)
        clock = asyncio.get_running_loop().time
        while self._pages:
            begun = clock()
            found = await run_in_threadpool(watch.look)
            if found:
                for page in self._pages:
                    page.changes.add(found)
                    page.woken.set()
            await asyncio.sleep(max(_PERIOD_S, _REST * (clock() - begun)))


def _to_json(changes: Changes) -> bytes:
    return orjson.dumps(
        {
            "added": sorted(changes.added),
            "changed": sorted(changes.changed),
            "removed": sorted(changes.removed),
        }
    )
