/** What stands there when there is no image to work on. */

import { h } from "../dom.ts";
import { icon } from "../icons.ts";
import type { App } from "../store/app.ts";
import { say } from "../words/words.ts";
import type { LabelApi } from "./label_api.ts";
import type { Queue } from "./queue.ts";

export function makeNothing(app: App, api: LabelApi, queue: Queue): HTMLElement {
  const title = h("h1", {});
  const text = h("p", {});
  const again = h("button", { type: "button", class: "button primary", id: "look-again", onclick: () => void queue.next() }, say("label.look_again"));
  const element = h("div", { class: "empty", id: "nothing", hidden: true }, icon("check", 44), title, text, h("div", { class: "empty-actions" }, again));
  app.listen(() => {
    element.hidden = !(queue.isEmpty || queue.isStuck) || app.ui.image !== null;
    if (queue.isStuck) {
      title.textContent = say("label.stuck");
      text.textContent = "";
      return;
    }
    const others = (api.status?.leases ?? []).filter((one) => one.person !== api.person);
    title.textContent = say(others.length ? "label.nothing_free" : `label.nothing_${queue.task}`);
    text.textContent = others.map((one) => say("label.has", { person: one.person, image: one.image })).join(" · ");
  });
  return element;
}
