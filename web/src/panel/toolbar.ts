/** The column of tools, and above the image what the chosen tool can be told. */

import type { Stage } from "../canvas/stage.ts";
import { h } from "../dom.ts";
import { icon } from "../icons.ts";
import { LEVELS } from "../store/project.ts";
import type { App } from "../store/app.ts";
import { setLevel } from "../tools/clicks.ts";
import { type Command, shownKey } from "../tools/commands.ts";
import { findWords } from "../tools/searches.ts";
import { say } from "../words/words.ts";

export function makeToolbar(app: App, commands: readonly Command[]): HTMLElement {
  const buttons = commands
    .filter((one) => one.group === "tools" && one.icon)
    .map((one) => {
      const key = shownKey(one.keys[0]!);
      const words = say(one.words);
      const button = h(
        "button",
        {
          type: "button",
          class: "tool",
          id: `tool-${one.id}`,
          title: `${words} (${key})`,
          "aria-label": words,
          "aria-keyshortcuts": one.keys[0]!,
          onclick: () => one.run(),
        },
        icon(one.icon!, 22),
        h("kbd", { "aria-hidden": "true" }, key),
      );
      return [one.id, button] as const;
    });
  const searches = buttons.findIndex(([id]) => id === "everything");
  const element = h(
    "nav",
    { class: "toolbar", "aria-label": say("tool.group") },
    ...buttons.slice(0, searches).map(([, button]) => button),
    h("hr"),
    ...buttons.slice(searches).map(([, button]) => button),
  );
  app.listen(() => {
    for (const [id, button] of buttons) {
      const pressed = id === "words" ? app.ui.wordsOpen : id === app.ui.tool || id === app.ui.panel;
      button.setAttribute("aria-pressed", String(pressed));
      button.hidden = app.folder?.lacks?.includes(id) ?? false;
    }
  });
  return element;
}

export function makeToolOptions(app: App, stage: Stage): { element: HTMLElement; openWords: () => void } {
  const levels = LEVELS.map((level) =>
    h("button", { type: "button", class: "segment", onclick: () => setLevel(app, level) }, say(`level.${level}`)),
  );
  const size = h("div", { class: "segments", role: "group", "aria-label": say("level.group"), title: `${say("level.group")} (S)` }, ...levels);
  const signs = ([1, 0] as const).map((sign) =>
    h(
      "button",
      {
        type: "button",
        class: `segment sign sign-${sign}`,
        title: `${say(sign ? "hint.sign_object" : "hint.sign_background")} (T)`,
        "aria-label": say(sign ? "hint.sign_object" : "hint.sign_background"),
        onclick: () => app.show({ sign }),
      },
      icon(sign ? "plus" : "minus", 14),
    ),
  );
  const sign = h("div", { class: "segments", role: "group", "aria-label": say("hint.signs") }, ...signs);
  const slider = h("input", { type: "range", min: 2, max: 200, id: "brush-size", oninput: () => app.show({ brush: slider.valueAsNumber }) });
  const sliderText = h("label", { for: "brush-size" });
  const brush = h("div", { class: "option" }, slider, sliderText);
  const words = h("input", {
    type: "text", id: "words", class: "words-input", placeholder: say("words.placeholder"), "aria-label": say("words.label"),
    autocomplete: "off", spellcheck: "false", list: "words-known", maxlength: 500,
  });
  const known = h("datalist", { id: "words-known" });
  const form = h(
    "form",
    {
      class: "option words",
      onsubmit: (event: SubmitEvent) => {
        event.preventDefault();
        void findWords(app, words.value);
      },
      onkeydown: (event: KeyboardEvent) => {
        if (event.key !== "Escape") return;
        app.show({ wordsOpen: false });
        stage.focus();
      },
    },
    words,
    known,
    h("button", { type: "submit", class: "button primary" }, say("words.go")),
  );
  const element = h("div", { class: "options" }, size, sign, brush, form);
  app.listen(() => {
    const { tool, wordsOpen } = app.ui;
    size.hidden = wordsOpen || (tool !== "point" && tool !== "box" && tool !== "lasso");
    sign.hidden = wordsOpen || tool !== "point";
    brush.hidden = wordsOpen || (tool !== "brush" && tool !== "eraser");
    form.hidden = !wordsOpen;
    element.hidden = app.ui.image === null || (!wordsOpen && tool === "pick");
    levels.forEach((button, i) => button.setAttribute("aria-pressed", String(LEVELS[i] === app.ui.level)));
    signs.forEach((button, i) => button.setAttribute("aria-pressed", String(app.ui.sign === (i ? 0 : 1))));
    slider.value = String(app.ui.brush);
    sliderText.textContent = say("brush.size", { size: Math.round(app.ui.brush) });
    const list = app.folder?.words ?? [];
    if (known.childElementCount !== list.length) known.replaceChildren(...list.map((word) => h("option", { value: word })));
    form.title = list.length ? say("words.known", { words: list.join(", ") }) : "";
  });
  const openWords = (): void => {
    app.show({ wordsOpen: true });
    form.hidden = element.hidden = false;
    words.focus(); // at once: what is typed next are no keys of the page
    words.select();
  };
  return { element, openWords };
}
