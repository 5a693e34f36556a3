"""From click to mask in the studio's page, and encoding an image without a server.

    python benchmarks/studio.py                 # needs playwright, and chromium in the path
    python benchmarks/studio.py --clicks 100 --encode 5

Opens the studio with a photo of 1024 pixels in headless Chromium, three times in one run: decoding
in the page's worker, by kernels of its own and by the graph in ONNX Runtime, and by the server,
click by click in turns. A click is timed from its pointer event
to the end of the frame in which a mask is painted: "cold" where the pointer has just jumped to, as
a finger does, and "hovered" where the preview is there already. Beside it stand the milliseconds
that the worker itself computed. Then the worker alone encodes the same photo and answers clicks, in
one thread and in two. Prints medians, 95th percentiles, and the load of the machine, without which
they say little.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import argparse
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

PHOTO = Path(__file__).parents[1] / "docs" / "pictures" / "coffee.jpg"
LONGEST = 1024

# Notes when a mask is painted (no other path is filled by the even-odd rule), and what the worker
# says of its own time.
WATCH = """
(() => {
  globalThis.watch = { down: 0, painted: 0, took: [] };
  addEventListener('pointerdown', (event) => {
    watch.down = event.timeStamp;
    watch.painted = 0;
  }, { capture: true });
  const fill = CanvasRenderingContext2D.prototype.fill;
  CanvasRenderingContext2D.prototype.fill = function (...given) {
    fill.apply(this, given);
    if (given[1] !== 'evenodd' || !watch.down || watch.painted) return;
    watch.painted = Infinity;
    const { port1, port2 } = new MessageChannel(); // is heard after the frame
    port2.onmessage = () => { watch.painted = performance.now(); };
    port1.postMessage(0);
  };
  const Plain = Worker;
  globalThis.Worker = class extends Plain {
    constructor(...given) {
      super(...given);
      this.addEventListener('message', ({ data }) => {
        if (data.answers && data.took) watch.took.push(data.took);
      });
    }
  };
})();
"""

WORK = """
async ([runs, threads, places]) => {
  const worker = new Worker(new URL('page/worker.js', location.href), { type: 'module' });
  let made = 0;
  const ask = (request) => new Promise((resolve, reject) => {
    const id = made++;
    worker.addEventListener('message', function heard({ data }) {
      if (data.id !== id) return;
      worker.removeEventListener('message', heard);
      data.error ? reject(new Error(data.error)) : resolve(data);
    });
    worker.postMessage({ ...request, id });
  });
  const [runtime, base] = ['page/', 'model/'].map((part) => new URL(part, location.href).href);
  const roles = ['encoder', 'decoder'];
  const ready = await ask({ kind: 'start', files: { base }, runtime, threads, roles });
  const bitmap = await createImageBitmap(await (await fetch('photo.png')).blob());
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
  context.drawImage(bitmap, 0, 0);
  const { data, width, height } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const took = [];
  for (let i = 0; i < runs; i++) {
    took.push((await ask({ kind: 'embed', image: 'photo', raw: { data, width, height } })).took);
  }
  const decoded = [];
  for (const [x, y] of places) {
    const point = [Math.floor(x * width), Math.floor(y * height), 1];
    const prompt = { points: [point], box: null, mask: null };
    const options = { many: true, logits: null, keepLogits: true };
    decoded.push((await ask({ kind: 'predict', image: 'photo', prompt, options })).took);
  }
  worker.terminate();
  return [ready.took, took, decoded.slice(5)]; // the first ones warm up
}
"""


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clicks", type=int, default=60)
    parser.add_argument("--encode", type=int, default=5, help="times that the photo is encoded")
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    import anymask

    model = anymask.load("bundled", device="cpu")
    with tempfile.TemporaryDirectory() as draft, sync_playwright() as playwright:
        folder = Path(draft) / "photos"
        folder.mkdir()
        image = PIL.Image.open(PHOTO).convert("RGB")
        image = image.resize((LONGEST, round(LONGEST * image.height / image.width)))
        image.save(folder / "photo.png")
        browser = playwright.chromium.launch(
            executable_path=options.chromium, args=["--no-sandbox"]
        )
        print(f"{image.width} x {image.height} pixels; {os.cpu_count()} processors; {load()}")
        measure_clicks(browser, model, folder, options.clicks)
        measure_worker(browser, model, folder, Path(draft) / "host", options)
        browser.close()
    print(load())


def load() -> str:
    """Say how busy the machine is."""
    return "load " + " ".join(f"{one:.1f}" for one in os.getloadavg())


# ------------------------------------------------------------------------------------- clicks


def measure_clicks(browser: Any, model: Any, folder: Path, count: int) -> None:
    """Click in the page of each decoder by turns, at the same places."""
    rng = np.random.default_rng(0)
    places = rng.uniform(0.1, 0.9, (count + 3, 2))
    times: dict[tuple[str, str], list[float]] = {}
    with served(model, folder) as url:
        pages = {who: opened(browser, url, who) for who in ("worker", "graph", "server")}
        for turn, (x, y) in enumerate(places):
            for kind in ("cold", "hovered"):
                for who, page in pages.items():
                    took = click(page, x, y, hovered=kind == "hovered")
                    if turn >= 3:  # the first ones warm up
                        times.setdefault((kind, who), []).append(took)
        own = {who: pages[who].evaluate("watch.took") for who in ("worker", "graph")}
        for page in pages.values():
            page.close()
    for (kind, who), found in times.items():
        print(f"{kind:8} click, decoded by the {who:7} {spread(found)}")
    for who, found in own.items():
        print(f"the worker's own time, {who:7}          {spread(found)}")


def opened(browser: Any, url: str, who: str) -> Any:
    """Open the studio, and wait until it is known who decodes, and the photo can be clicked."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(300_000)
    page.add_init_script(WATCH)
    if who == "graph":  # what is not told where weights are takes the graph
        page.context.route("**/model.json", without_places)
    page.goto(f"{url}/#decoder={'server' if who == 'server' else 'worker'}")
    page.locator("body[data-decoder]").wait_for(state="attached")
    page.locator(".status:not(.working)").wait_for()
    page.wait_for_timeout(3000)  # for the embedding to be with the worker
    return page


def without_places(route: Any) -> None:
    """Answer what the model is, without where the weights of its decoder are."""
    response = route.fetch()
    about = response.json()
    about.pop("compact", None)
    route.fulfill(response=response, json=about)


def click(page: Any, x: float, y: float, *, hovered: bool) -> float:
    """Click at a share of the stage's middle; gives milliseconds to the mask, and removes it."""
    box = page.locator("#stage").bounding_box()
    at = box["x"] + box["width"] * (0.15 + 0.7 * x), box["y"] + box["height"] * (0.15 + 0.7 * y)
    page.evaluate("Object.assign(watch, { down: 1, painted: 0 })")
    page.mouse.move(*at)
    if hovered:
        painted(page)
        page.wait_for_timeout(100)
    page.mouse.click(*at)
    took: float = painted(page)
    page.wait_for_timeout(150)
    page.keyboard.press("Delete")
    page.mouse.move(box["x"] + 2, box["y"] + 2)  # where nothing is previewed
    page.wait_for_timeout(150)
    return took


def painted(page: Any) -> float:
    """Wait until a mask has been painted after the pointer went down."""
    while True:
        took = page.evaluate("isFinite(watch.painted) ? watch.painted - watch.down : 0")
        if took > 0:
            return float(took)
        time.sleep(0.01)


@contextmanager
def served(model: Any, folder: Path) -> Iterator[str]:
    """Run the studio's server in a thread."""
    import uvicorn

    from anymask.serve.app import create_app
    from anymask.serve.config import ServeConfig
    from anymask.serve.studio.api import add_studio

    app = create_app(ServeConfig(), model)
    add_studio(app, folder)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


# ----------------------------------------------------------------------------------- encoding


def measure_worker(
    browser: Any, model: Any, photos: Path, host: Path, options: argparse.Namespace
) -> None:
    """Encode a photo and answer clicks in the worker, without a server of ours."""
    import anymask.serve.studio.page_files as page_files
    from anymask.export.browser import write_browser_model

    shutil.copytree(page_files.FOLDER, host / "page")
    shutil.copy(photos / "photo.png", host)
    (host / "blank.html").write_text("<!doctype html><title>encode</title>")
    model_files = write_browser_model(model, host / "model", ["encoder", "decoder"])
    page_sizes = {path.name: path.stat().st_size for path in (host / "page").iterdir()}
    first = sum(path.stat().st_size for path in model_files) + sum(page_sizes.values())
    print(f"page, runtime and model: {first / 1e6:.2f} MB, as they lie there")
    with static(host) as url:
        for threads in (1, 2):
            page = browser.new_context().new_page()
            page.set_default_timeout(600_000)
            page.goto(f"{url}/blank.html")
            places = np.random.default_rng(1).uniform(0.1, 0.9, (5 + options.clicks, 2)).tolist()
            given = [1 + options.encode, threads, places]
            ready, took, decoded = page.evaluate(WORK, given)
            print(
                f"{threads} threads: ready in {ready / 1000:.1f} s, first photo {took[0]:.0f} ms, "
                f"then {spread(took[1:])}"
            )
            print(f"{threads} threads: a click answered in {spread(decoded)}")
            page.close()


@contextmanager
def static(folder: Path) -> Iterator[str]:
    """Serve a folder as any host of files does, with the headers that threads need."""

    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            super().end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    Handler.extensions_map = {**Handler.extensions_map, ".mjs": "text/javascript"}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def spread(values: list[float]) -> str:
    """Write median and 95th percentile."""
    median, high, least = np.percentile(values, [50, 95, 0])
    return f"{median:6.1f} ms, 95th percentile {high:6.1f}, least {least:6.1f} ({len(values)})"


if __name__ == "__main__":
    main()
