/** What stands over the image, or there when there is none. */

import { h } from "../dom.ts";
import { icon } from "../icons.ts";
import type { App } from "../store/app.ts";
import { say } from "../words/words.ts";
import type { Clock } from "./clock.ts";
import type { LabelApi } from "./label_api.ts";
import type { Queue } from "./queue.ts";

const LONG_S = 30; // the paper's rule (section 4): a mask that takes longer is not worth it

/** Hints that the next image may be worth more. */
export function makeHint(app: App, queue: Queue, clock: Clock): HTMLElement {
  const element = h("p", { class: "queue-hint", role: "status", id: "queue-hint", hidden: true });
  setInterval(() => {
    const { active } = app;
    const seconds = active && queue.lease && queue.task === "label" ? Math.floor(clock.secondsOf(active.id)) : 0;
    element.hidden = seconds <= LONG_S;
    element.textContent = element.hidden ? "" : say("label.long", { seconds });
  }, 500);
  return element;
}

/** Says that there is no image to work on, and who has those that are left. */
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
