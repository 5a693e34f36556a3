"""The page's worker as its tests speak to it: from any static host, without a server of ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from anymask.masks import rle

ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}

# What tests may ask of the worker, in the page: it answers requests by their numbers.
DRIVER = """
globalThis.open = (base, roles, threads) => {
  const worker = new Worker(new URL('page/worker.js', location.href), { type: 'module' });
  const waiting = new Map();
  let made = 0;
  globalThis.progress = [];
  worker.onmessage = ({ data }) => {
    if (data.progress) return progress.push(data.progress);
    waiting.get(data.id)(data);
    waiting.delete(data.id);
  };
  worker.onerror = (event) => waiting.forEach((done) => done({ error: event.message || 'dead' }));
  globalThis.ask = (request) => new Promise((done) => {
    const id = (globalThis.latest = made++);
    waiting.set(id, done);
    worker.postMessage({ ...request, id });
  });
  const runtime = new URL('page/', location.href).href;
  const files = { base: new URL(base, location.href).href };
  return ask({ kind: 'start', files, runtime, threads, roles });
};
globalThis.plain = ({ answers, ...rest }) => ({
  ...rest,
  answers: (answers ?? []).map((one) => ({
    ...one, counts: [...one.counts], logits: one.logits && [...one.logits.data],
  })),
});
globalThis.rgba = async (url) => {
  const bitmap = await createImageBitmap(await (await fetch(url)).blob());
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
  context.drawImage(bitmap, 0, 0);
  const { data, width, height } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  return { data, width, height };
};
null; // or Playwright would call the function above
"""


@contextmanager
def static_host(folder: Path, headers: Mapping[str, str]) -> Iterator[str]:
    """Serve a folder as any host of files does."""

    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            for name, value in headers.items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    Handler.extensions_map = {**Handler.extensions_map, ".mjs": "text/javascript"}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


class WorkerPage:
    """A page with nothing on it but the worker."""

    def __init__(self, browser: Any, url: str) -> None:
        self.context = browser.new_context()
        self.page = self.context.new_page()
        self.page.set_default_timeout(600_000)
        self.asked: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(f"{url}/index.html")
        self.page.evaluate(DRIVER)

    def open(self, *roles: str, threads: int = 1, base: str = "model/") -> dict[str, Any]:
        """Start the worker."""
        found: dict[str, Any] = self.page.evaluate(
            "([base, roles, threads]) => open(base, roles, threads)", [base, list(roles), threads]
        )
        return found

    def ask(self, request: str) -> dict[str, Any]:
        """Ask it what a JavaScript expression says."""
        found: dict[str, Any] = self.page.evaluate(f"async () => plain(await ask({request}))")
        return found

    def masks(self, request: str, size_hw: tuple[int, int]) -> tuple[np.ndarray, list[Any]]:
        """Ask it for masks: bool (n, h, w), and the answers themselves."""
        reply = self.ask(request)
        assert "error" not in reply, reply
        answers = reply["answers"]
        masks = [rle.decode(np.array(one["counts"], np.uint32), size_hw) for one in answers]
        return np.array(masks, bool).reshape(-1, *size_hw), answers
