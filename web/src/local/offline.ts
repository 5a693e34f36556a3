/** The page's own worker for requests: offline use, and the headers that threads need. */

import { h } from "../dom.ts";
import { say } from "../words/words.ts";

const PATIENCE_MS = 4000; // for the first visit; without it, the page works with one thread
const TRIED = "anymask-studio-reloaded";

/**
 * Installs the worker, and loads the page once more under it where that makes it isolated, which is
 * what threads need and most static hosts cannot say. Gives when the page may go on.
 */
export async function settle(): Promise<ServiceWorkerRegistration | null> {
  if (!navigator.serviceWorker) return null; // not over HTTP from elsewhere
  const container = navigator.serviceWorker;
  const taken = new Promise<void>((resolve) => container.addEventListener("controllerchange", () => resolve(), { once: true }));
  let registration: ServiceWorkerRegistration;
  try {
    registration = await container.register("sw.js", { updateViaCache: "none" });
  } catch {
    return null; // switched off by whoever uses it
  }
  if (!container.controller && !registration.active) {
    await Promise.race([taken, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
  }
  if (crossOriginIsolated || sessionStorage.getItem(TRIED)) {
    sessionStorage.removeItem(TRIED);
    return registration;
  }
  if (!container.controller && !registration.active) return registration;
  sessionStorage.setItem(TRIED, "1");
  location.reload();
  return new Promise(() => undefined); // which ends with the page
}

/** Fetches what offline use needs and nobody has asked for yet. */
export function keepAll(registration: ServiceWorkerRegistration | null): void {
  registration?.active?.postMessage("keep all");
}

/** Says when there is a new version of the page, which waits until somebody wants it. */
export function tellOfUpdates(registration: ServiceWorkerRegistration, stored: () => Promise<void>): void {
  const tell = (worker: ServiceWorker): void => {
    const load = async (): Promise<void> => {
      await stored();
      navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
      worker.postMessage("take over");
    };
    const button = h("button", { type: "button", class: "button", onclick: () => void load().catch(() => undefined) }, say("update.load"));
    document.body.append(h("div", { class: "update", role: "status" }, h("span", {}, say("update.there")), button));
  };
  if (navigator.serviceWorker.controller) {
    // Another window has let the new version take over, whose files do not go with this page's.
    const follow = (): void => void stored().then(() => location.reload(), () => undefined);
    navigator.serviceWorker.addEventListener("controllerchange", follow, { once: true });
  }
  if (registration.waiting) return tell(registration.waiting);
  registration.addEventListener("updatefound", () => {
    const worker = registration.installing;
    worker?.addEventListener("statechange", () => {
      if (worker.state === "installed" && navigator.serviceWorker.controller) tell(worker);
    });
  });
}
