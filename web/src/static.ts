/** The page without a server: this browser keeps the images and the masks, and finds them. */

import { keepAll, settle, tellOfUpdates } from "./local/offline.ts";
import { LocalApi } from "./local/local_api.ts";
import { open, prepare } from "./page.ts";
import { App } from "./store/app.ts";

async function main(): Promise<void> {
  prepare();
  const registration = await settle();
  // Of this address alone: several pages may share a host, and with it the browser's storage.
  const place = new URL(".", location.href).pathname;
  const api = new LocalApi(`anymask-studio ${place}`, "bundled", () => Promise.resolve([]));
  const app = new App(api);
  app.decoder = {
    prepare: () => { keepAll(registration); return Promise.resolve(); },
    predict: () => Promise.resolve([]),
    everything: () => Promise.resolve([]),
    words: () => Promise.resolve([]),
    subject: () => Promise.resolve([]),
  };
  open(app);
  if (registration) tellOfUpdates(registration, () => app.saved(AbortSignal.timeout(10_000)));
}

void main();
