/**
 * The page's worker for requests, where there is no server of ours: keeps all files by their
 * content, gives them offline, and adds the headers that static hosts do not send.
 */

/** What `anymask studio --static` writes before this script: each file's SHA-256, by its path. */
interface Site {
  /** The page itself, what is fetched when it is needed, and images, of which there may be many. */
  readonly shell: Readonly<Record<string, string>>;
  readonly parts: Readonly<Record<string, string>>;
  readonly images: Readonly<Record<string, string>>;
}

const worker = globalThis as unknown as ServiceWorkerGlobalScope & { readonly SITE: Site };

const { shell, parts, images } = worker.SITE;
const files: Readonly<Record<string, string>> = { ...shell, ...parts, ...images };
const scope = new URL(worker.registration.scope);
const NAME = `anymask-studio ${scope.pathname}`;

const HEADERS: Readonly<Record<string, string>> = {
  // Nothing inline, nothing from elsewhere; images that were fetched are shown from memory.
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; " +
    "worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

worker.addEventListener("install", (event) => {
  // The first one only waits for the page itself. A later one waits for everything, so that the page
  // never is of one version and its model of another.
  const isFirst = worker.registration.active === null;
  event.waitUntil(
    keep(isFirst ? shell : { ...shell, ...parts }).then(() => (isFirst ? worker.skipWaiting() : undefined)),
  );
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(forgetOthers().then(() => worker.clients.claim()));
});

worker.addEventListener("message", (event) => {
  if (event.data === "keep all") event.waitUntil(keep(parts).catch(() => undefined));
  if (event.data === "take over") void worker.skipWaiting();
});

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname)) return;
  const path = decodeURIComponent(url.pathname.slice(scope.pathname.length)) || "index.html";
  if (Object.hasOwn(files, path)) event.respondWith(found(path).catch(() => Response.error()));
});

function keyOf(path: string): string {
  return `${scope.href}?sha256=${files[path]!}`;
}

async function found(path: string): Promise<Response> {
  const cache = await caches.open(NAME);
  const kept = await cache.match(keyOf(path));
  return kept ?? (await fetched(cache, path));
}

async function keep(some: Readonly<Record<string, string>>): Promise<void> {
  const cache = await caches.open(NAME);
  await Promise.all(
    Object.keys(some).map(async (path) => {
      if (await cache.match(keyOf(path))) return;
      const { ok, status } = await fetched(cache, path);
      if (!ok) throw new Error(`${path}: ${status}`); // a version of which a part is missing is none
    }),
  );
}

/** Fetches a file, which has to be the one that belongs to this version, and keeps it. */
async function fetched(cache: Cache, path: string): Promise<Response> {
  const response = await fetch(new URL(path, scope), { cache: "no-cache", credentials: "same-origin" });
  if (!response.ok) return response;
  const data = await response.arrayBuffer();
  // Some hosts say of a .gz that it is to be unpacked on the way: its digest is another then.
  if (!response.headers.get("Content-Encoding") || !path.endsWith(".gz")) {
    const digest = [...new Uint8Array(await crypto.subtle.digest("SHA-256", data))].map((one) => one.toString(16).padStart(2, "0")).join("");
    if (digest !== files[path]) {
      void worker.registration.update();
      throw new Error(`${path} is of another version`);
    }
  }
  const headers = new Headers(HEADERS);
  headers.set("Content-Type", response.headers.get("Content-Type") ?? "application/octet-stream");
  headers.set("Content-Length", String(data.byteLength));
  const whole = new Response(data, { headers });
  await cache.put(keyOf(path), whole.clone()).catch(() => undefined); // no room: then not offline
  return whole;
}

async function forgetOthers(): Promise<void> {
  const cache = await caches.open(NAME);
  const mine = new Set(Object.keys(files).map(keyOf));
  for (const request of await cache.keys()) if (!mine.has(request.url)) await cache.delete(request);
}
