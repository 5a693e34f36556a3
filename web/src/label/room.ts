/** The page of a label project: the queue with its bar, and what is known of masks. */

import type { Client } from "../api/client.ts";
import type { SharedDecoder } from "../decode/shared.ts";
import { KEPT, open } from "../page.ts";
import type { Room } from "../room.ts";
import { App } from "../store/app.ts";
import { Backup } from "../store/backup.ts";
import { browserDrawer } from "../store/drawer.ts";
import * as histories from "../store/history.ts";
import { renameClass } from "../store/project.ts";
import type { Command } from "../tools/commands.ts";
import { makeQueueBar } from "./bar.ts";
import { makeHint, makeNothing } from "./card.ts";
import { Clock } from "./clock.ts";
import { makeDashboard } from "./dashboard.ts";
import { makeHistory } from "./history.ts";
import { LabelApi } from "./label_api.ts";
import { askName, keepName, nameOf } from "./name.ts";
import { Queue, followChanges } from "./queue.ts";
import { nameTab } from "./tab.ts";

const LOOK_MS = 15_000;

export function openLabel(client: Client, decoderOf: (app: App) => SharedDecoder): void {
  const api = new LabelApi(client);
  const app = new App(api);
  app.decoder = decoderOf(app);
  const clock = new Clock(() => performance.now());
  const queue = new Queue(app, api, clock);
  api.seconds = () => clock.take();
  api.renamed = (from, to) => {
    if (app.ui.label === from) app.ui = { ...app.ui, label: to };
    app.settle(histories.amend(app.history, (one) => renameClass(one, from, to)));
  };
  app.keeper = {
    rename: (from, to) =>
      api.rename(from, to).then(
        () => api.renamed(from, to),
        (error: unknown) => {
          app.fail(error);
          void app.refresh().catch(() => undefined); // somebody else may have been faster
        },
      ),
  };
  const name = nameOf(location.hash);
  const dashboard = makeDashboard(app, api, queue);
  const room: Room = {
    commands: () => commandsOf(queue, dashboard.open),
    bar: () => makeQueueBar(app, api, queue, { rename: () => void rename(api, queue), dashboard: dashboard.open }),
    overImage: () => [makeNothing(app, api, queue), makeHint(app, queue, clock), dashboard.element],
    beside: ({ stage }) => [makeHistory(app, api, stage)],
    begin: async (wanted) => {
      api.tab = await nameTab();
      api.person = name ?? (await askName(""));
      keepName(api.person);
      app.changed();
      await queue.begin(wanted);
    },
  };
  open(app, undefined, undefined, room);
  const backup = new Backup(app, browserDrawer(`${KEPT}-label`), (id) => `${api.person}/${id}`);
  app.loaded = (id) => backup.restore(id);
  followChanges(app, queue, clock);
  listen(queue);
}

async function rename(api: LabelApi, queue: Queue): Promise<void> {
  const name = await askName(api.person);
  if (name === api.person) return;
  await queue.leave();
  api.person = name;
  keepName(name);
  await queue.choose(queue.task, queue.audit);
}

function commandsOf(queue: Queue, openDashboard: () => void): readonly Command[] {
  return [
    { id: "queue-accept", words: "key.queue_accept", group: "images", keys: ["o"], run: () => void queue.accept() },
    { id: "queue-fix", words: "key.queue_fix", group: "images", keys: ["u"], run: () => queue.fix() },
    { id: "queue-reject", words: "key.queue_reject", group: "images", keys: ["n"], run: () => void queue.reject() },
    { id: "dashboard", words: "dashboard.title", group: "view", keys: ["p"], run: openDashboard },
  ];
}

function listen(queue: Queue): void {
  for (const name of ["pointermove", "pointerdown", "keydown", "wheel"]) {
    window.addEventListener(name, () => queue.touch(), { passive: true, capture: true });
  }
  setInterval(() => {
    if (!document.hidden || queue.lease) void queue.tick();
  }, LOOK_MS);
  document.addEventListener("visibilitychange", () => {
    queue.touch();
    if (!document.hidden) void queue.renew();
  });
  window.addEventListener("pagehide", () => queue.close());
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) void queue.renew();
  });
}
