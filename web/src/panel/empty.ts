/** What stands there before there is an image. */

import { h } from "../dom.ts";
import { icon } from "../icons.ts";
import type { App } from "../store/app.ts";
import { say } from "../words/words.ts";

export function makeEmpty(app: App, choose: () => void, chooseFolder: () => void, example: () => void): HTMLElement {
  const begin = h("button", { type: "button", class: "button", id: "example", onclick: example }, say("empty.example"));
  const element = h(
    "div",
    { class: "empty", hidden: true },
    icon("images", 44),
    h("h1", {}, say("empty.title")),
    h("p", {}, say("empty.text")),
    h("div", { class: "empty-actions" }, h("button", { type: "button", class: "button primary", onclick: choose }, say("empty.choose")), h("button", { type: "button", class: "button", onclick: chooseFolder }, say("empty.folder")), begin),
  );
  app.listen(() => {
    element.hidden = app.folder === null || app.pictures.length > 0;
    begin.hidden = !app.folder?.example;
  });
  return element;
}
