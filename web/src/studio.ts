/** The page of a server, which keeps the images and the masks, and finds them. */

import { Client } from "./api/client.ts";
import { PanelsApi } from "./api/panels_api.ts";
import { StudioApi } from "./api/studio_api.ts";
import { Engine } from "./decode/engine.ts";
import { ServerDecoder } from "./decode/server.ts";
import { SharedDecoder } from "./decode/shared.ts";
import { openLabel } from "./label/room.ts";
import { KEPT, open, prepare } from "./page.ts";
import { App } from "./store/app.ts";
import { Backup } from "./store/backup.ts";
import { browserDrawer } from "./store/drawer.ts";
import { Undecided } from "./store/undecided.ts";

function main(): void {
  prepare();
  const token = takeToken();
  const client = new Client("", token);
  if (document.documentElement.dataset["page"] === "label") return openLabel(client, (app) => decoderOf(app, client, token));
  const app = new App(new StudioApi(client));
  app.decoder = decoderOf(app, client, token);
  app.panels = new PanelsApi(client);
  open(app);
  const backup = new Backup(app, browserDrawer(KEPT));
  app.loaded = (id) => backup.restore(id);
  new Undecided(app, browserDrawer(`${KEPT}-undecided`));
}

/** The server encodes; the page decodes, if it can do so quickly. `#decoder=server` or `worker` settles it. */
function decoderOf(app: App, client: Client, token: string | null): SharedDecoder {
  const server = new ServerDecoder(client, (id) => app.pictureOf(id));
  const decoder = new SharedDecoder(server, (who, why) => {
    document.body.dataset["decoder"] = who;
    document.body.dataset["decoderWhy"] = why;
  });
  const forced = new URLSearchParams(location.hash.slice(1)).get("decoder");
  const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {};
  const files = { base: "v1/studio/model/", headers };
  if (forced === "server") document.body.dataset["decoder"] = forced;
  else void decoder.begin(() => Engine.open(), files, forced === "worker");
  return decoder;
}

/** Takes the token from the address, where it would be seen, and keeps it for this tab. */
function takeToken(): string | null {
  const parts = new URLSearchParams(location.hash.slice(1));
  const given = parts.get("token");
  try {
    if (given) {
      sessionStorage.setItem(KEPT, given);
      parts.delete("token");
      history.replaceState(null, "", parts.size ? `#${parts}` : location.pathname);
    }
    return given ?? sessionStorage.getItem(KEPT);
  } catch {
    return given;
  }
}

main();
