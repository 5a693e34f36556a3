/** What was found elsewhere, one after the other: accepted or rejected. */

import { h } from "../dom.ts";
import { icon } from "../icons.ts";
import type { App } from "../store/app.ts";
import { candidatesOf } from "../store/project.ts";
import { askLater, countCandidates, decide, goOn } from "../tools/elsewhere.ts";
import { say } from "../words/words.ts";

export function makeReview(app: App): HTMLElement {
  const text = h("span", { role: "status", class: "review-text" });
  const button = (id: string, words: string, run: () => void, kind = ""): HTMLButtonElement =>
    h("button", { type: "button", class: `button ${kind}`, id, onclick: run }, words);
  const accept = button("accept", "", () => decide(app, true), "primary");
  accept.append(icon("check", 16), say("elsewhere.accept"), h("kbd", {}, "O"));
  const reject = button("reject", "", () => decide(app, false), "danger");
  reject.append(icon("close", 16), say("elsewhere.reject"), h("kbd", {}, "N"));
  const later = button("later", say("elsewhere.later"), () => askLater(app));
  const all = button("accept-all", say("elsewhere.accept_all"), () => decide(app, true, true));
  const none = button("reject-all", say("elsewhere.reject_all"), () => decide(app, false, true));
  const go = button("go-on", say("elsewhere.next"), () => goOn(app), "primary");
  const element = h("section", { class: "review", "aria-label": say("elsewhere.title"), hidden: true }, text, accept, reject, later, all, none, go);
  app.listen(() => {
    const left = countCandidates(app);
    const here = app.ui.image === null ? 0 : candidatesOf(app.project, app.ui.image).length;
    element.hidden = left === 0;
    if (!left) return;
    text.textContent = say(here ? "elsewhere.here" : "elsewhere.left", { here, left });
    for (const one of [accept, reject]) one.hidden = !here;
    for (const one of [all, none]) one.hidden = here < 2;
    later.hidden = left < 2 || !here;
    go.hidden = here > 0;
  });
  return element;
}
