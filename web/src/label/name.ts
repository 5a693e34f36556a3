/** Who works here: from the address, else as it was last time, else asked for. */

import { h } from "../dom.ts";
import { say } from "../words/words.ts";

const KEPT = "anymask-studio-person";
const LONGEST = 100;

/** Takes the name from the address, else from the browser's memory; null if there is none. */
export function nameOf(hash: string): string | null {
  const parts = new URLSearchParams(hash.slice(1));
  const given = parts.get("person")?.trim();
  if (given) return given.slice(0, LONGEST);
  try {
    return sessionStorage.getItem(KEPT) ?? localStorage.getItem(KEPT); // this tab's, else the last one
  } catch {
    return null;
  }
}

export function keepName(name: string): void {
  try {
    sessionStorage.setItem(KEPT, name);
    localStorage.setItem(KEPT, name);
  } catch {
    // A browser that keeps nothing asks again next time.
  }
}

/** Asks who works here; goes on asking, for there is no work without a name, unless there was one. */
export function askName(before: string): Promise<string> {
  return new Promise((resolve) => {
    const input = h("input", { type: "text", id: "person", class: "class-input", value: before, maxlength: LONGEST, autocomplete: "name", required: true, "aria-label": say("label.name") });
    const form = h(
      "form",
      {
        class: "confirm",
        method: "dialog",
        onsubmit: (event: SubmitEvent) => {
          event.preventDefault();
          const name = input.value.trim();
          if (name) end(name);
        },
      },
      h("p", {}, say("label.name_about")),
      input,
      h("div", { class: "dialog-foot" }, h("button", { type: "submit", class: "button primary", id: "person-go" }, say("label.name_go"))),
    );
    const dialog = h("dialog", { "aria-label": say("label.name") }, h("div", { class: "dialog-head" }, h("h2", {}, say("label.name"))), form);
    const end = (name: string): void => {
      dialog.close();
      dialog.remove();
      resolve(name);
    };
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      if (before) end(before);
    });
    document.querySelector(".studio")!.append(dialog);
    dialog.showModal();
    input.select();
  });
}
