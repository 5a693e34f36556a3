/** A card over the image, for what is about the image as a whole: depth, painting. */

import { h } from "../dom.ts";
import { icon } from "../icons.ts";
import type { App, PanelName } from "../store/app.ts";
import { say } from "../words/words.ts";

/** Makes a card that shows while its panel is open. */
export function makeCard(app: App, name: PanelName, title: string, ...children: HTMLElement[]): HTMLElement {
  const close = h(
    "button",
    { type: "button", class: "icon-button", title: say("panel.close"), "aria-label": say("panel.close"), onclick: () => app.show({ panel: null }) },
    icon("close", 16),
  );
  const element = h(
    "section",
    { class: "card", id: `panel-${name}`, "aria-label": title, hidden: true },
    h("div", { class: "card-head" }, h("h2", {}, title), close),
    ...children,
  );
  app.listen(() => {
    element.hidden = app.ui.panel !== name || app.ui.image === null;
  });
  return element;
}
