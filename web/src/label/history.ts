/** What happened to the mask that is selected: each revision, to compare with and to bring back. */

import type { Stage } from "../canvas/stage.ts";
import { fill, h } from "../dom.ts";
import { icon } from "../icons.ts";
import type { App } from "../store/app.ts";
import { editThings } from "../store/project.ts";
import { say, spoken } from "../words/words.ts";
import type { Entry, LabelApi } from "./label_api.ts";

export function makeHistory(app: App, api: LabelApi, stage: Stage): HTMLElement {
  const list = h("ol", { class: "revisions" });
  const element = h("section", { class: "side-part side-history", id: "history", "aria-label": say("label.history"), hidden: true }, h("h2", {}, say("label.history")), list);
  let shown = "";
  let items: readonly (readonly [Entry, HTMLElement])[] = [];
  const show = (entries: readonly Entry[], id: string): void => {
    items = [...entries].reverse().map((one, i) => [one, makeEntry(app, stage, one, id, i === 0)]);
    fill(list, ...items.map(([, item]) => item));
  };
  app.listen(() => {
    const { earlier } = app.ui;
    for (const [entry, item] of items) item.classList.toggle("compared", earlier !== null && earlier === entry.thing.counts);
    const thing = app.active;
    const mask = thing && !thing.waiting ? api.numberOf(thing.id) : null;
    element.hidden = mask === null;
    // Once what was changed is saved, there is one more.
    const key = mask === null ? "" : `${mask} ${app.ui.image} ${app.saver.revision(app.ui.image ?? "")}`;
    if (key === shown) return;
    shown = key;
    if (app.ui.earlier) app.show({ earlier: null });
    if (mask === null || !thing) return fill(list);
    void api.history(mask).then(
      (entries) => {
        if (shown === key) show(entries, thing.id);
      },
      () => fill(list), // the next change asks again
    );
  });
  return element;
}

function makeEntry(app: App, stage: Stage, entry: Entry, id: string, isLast: boolean): HTMLElement {
  const who = entry.person ?? entry.version ?? say("label.somebody");
  const when = new Date(entry.at * 1000).toLocaleString(spoken() === "zh" ? "zh-CN" : "en", { dateStyle: "medium", timeStyle: "short" });
  const how = [entry.person && entry.version && (entry.action === "add" || entry.action === "edit") ? entry.version : "", say(`stage.${entry.stage}` as "stage.assisted"), entry.seconds ? say("label.took", { seconds: entry.seconds.toFixed(0) }) : ""].filter(Boolean).join(" · ");
  const did = entry.action === "review" ? say(`review.${entry.review}`) : say(`action.${entry.action}`);
  const compare = (): void => app.show({ earlier: app.ui.earlier === entry.thing.counts ? null : entry.thing.counts });
  const look = h(
    "button",
    {
      type: "button", class: "revision-look", title: say("label.compare"),
      onclick: () => {
        compare();
        stage.repaint();
      },
    },
    h("span", { class: "revision-head" }, h("b", {}, did), h("span", {}, who)),
    h("small", {}, `${when}${how ? ` · ${how}` : ""}`),
  );
  const back = h(
    "button",
    {
      type: "button", class: "icon-button row-action", title: say("label.restore"), "aria-label": say("label.restore"),
      onclick: () => {
        const { image } = app.ui;
        if (image === null) return;
        const { counts, label, score, stability, prompt, review, meta } = entry.thing;
        const project = editThings(app.project, image, new Set([id]), (one) => ({ ...one, counts, label, score, stability, prompt, review, meta, answers: [], waiting: false }));
        app.show({ earlier: null });
        app.commit(project, "restore", image);
      },
    },
    icon("undo", 14),
  );
  return h("li", { class: "revision" }, look, !isLast && !entry.deleted && h("span", { class: "row-actions" }, back));
}
