/** The page of a server, which keeps the images and the masks, and finds them. */

import { Client } from "./api/client.ts";
import { PanelsApi } from "./api/panels_api.ts";
import { StudioApi } from "./api/studio_api.ts";
import { ServerDecoder } from "./decode/server.ts";
import { KEPT, open, prepare } from "./page.ts";
import { App } from "./store/app.ts";
import { Backup, browserDrawer } from "./store/backup.ts";

function main(): void {
  prepare();
  const api = new StudioApi(new Client("", takeToken()));
  const app = new App(api);
  app.decoder = new ServerDecoder(api.client, (id) => app.pictureOf(id));
  app.panels = new PanelsApi(api.client);
  open(app);
  const backup = new Backup(app, browserDrawer(KEPT));
  app.loaded = (id) => backup.restore(id);
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
