/** The bar of the queue: what is done, the three decisions, how far the work is, and who else is there. */

import { fill, h } from "../dom.ts";
import { focusStage } from "../host.ts";
import { icon } from "../icons.ts";
import type { App } from "../store/app.ts";
import { say } from "../words/words.ts";
import { type LabelApi, ORDERS, type Order } from "./label_api.ts";
import { type Queue, TASKS, type Task } from "./queue.ts";

export function makeQueueBar(app: App, api: LabelApi, queue: Queue, actions: { rename: () => void; dashboard: () => void }): HTMLElement {
  // An audit is chosen on the dashboard, by its name.
  const choose = (task: Task): void => (task === "audit" ? actions.dashboard() : void queue.choose(task));
  const tasks = TASKS.map((task) =>
    h("button", { type: "button", class: "segment", id: `task-${task}`, onclick: () => choose(task) }, say(`label.task_${task}`)),
  );
  const decision = (id: string, key: string, kind: string, run: () => void, ...words: Node[]): HTMLButtonElement =>
    h("button", { type: "button", class: `button ${kind}`, id, onclick: run, "aria-keyshortcuts": key.toLowerCase() }, ...words, h("kbd", {}, key));
  let isPointed = false; // whoever chooses with the mouse goes on with the page's keys, which here would choose
  const order = h(
    "select",
    {
      id: "order", class: "queue-order", "aria-label": say("label.order"), title: say("label.order"),
      onpointerdown: () => (isPointed = true),
      onkeydown: () => (isPointed = false),
      onchange: () => {
        queue.sort(order.value as Order);
        if (isPointed) focusStage(order);
      },
    },
    ...ORDERS.map((one) => h("option", { value: one }, say(`order.${one}`))),
  );
  const acceptText = h("span", {});
  const rejectText = h("span", {});
  const accept = decision("accept", "O", "primary", () => void queue.accept(), icon("check", 16), acceptText);
  const fix = decision("fix", "U", "", () => queue.fix(), icon("pencil", 16), h("span", {}, say("label.fix")));
  const reject = decision("reject", "N", "danger", () => void queue.reject(), icon("close", 16), rejectText);
  const skip = decision("skip", "D", "", () => void queue.skip(), h("span", {}, say("label.skip")));
  const decisions = h("div", { class: "queue-decisions" }, accept, fix, reject, skip);
  const owner = h("span", { class: "queue-owner", role: "alert" });
  const progress = h("button", { type: "button", class: "text-button queue-progress", id: "queue-progress", onclick: actions.dashboard });
  const others = h("span", { class: "queue-others", id: "others" });
  const me = h("button", { type: "button", class: "button", id: "me", onclick: actions.rename }, icon("subject", 16), h("span", {}));
  const element = h(
    "section",
    { class: "queue", "aria-label": say("label.queue") },
    h("div", { class: "segments", role: "group", "aria-label": say("label.task") }, ...tasks),
    order, decisions, owner,
    h("div", { class: "queue-right" }, progress, others, me),
  );
  app.listen(() => {
    const { status } = api;
    tasks.forEach((button) => button.setAttribute("aria-pressed", String(button.id === `task-${queue.task}`)));
    decisions.hidden = queue.lease === null || app.ui.image !== queue.lease.picture.id;
    for (const one of [accept, reject, skip]) one.disabled = queue.isMoving;
    acceptText.textContent = say(`label.accept_${queue.task}`);
    const some = app.ui.selected.size > 0;
    rejectText.textContent = say(some ? "label.reject_masks" : `label.reject_${queue.task}`);
    skip.hidden = order.hidden = queue.task === "audit";
    const audit = queue.audit === null ? "" : ` “${queue.audit}”`;
    tasks.at(-1)!.textContent = `${say("label.task_audit")}${audit}`;
    owner.hidden = queue.owner === null || app.ui.image === null;
    owner.textContent = queue.owned;
    me.lastElementChild!.textContent = api.person;
    me.title = say("label.me", { person: api.person });
    if (!status) return;
    const { open, done, accepted } = status.by_state;
    progress.textContent = say("label.progress", { open, done, accepted });
    progress.title = `${say("dashboard.title")} (P)`;
    const here = status.leases.filter((one) => one.person !== api.person);
    others.title = here.map((one) => say("label.has", { person: one.person, image: one.image })).join("\n");
    fill(others, ...here.map((one) => h("span", { class: "person", title: say("label.has", { person: one.person, image: one.image }) }, one.person, h("small", {}, one.image))));
  });
  return element;
}
