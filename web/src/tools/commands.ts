/** Everything that a key or a button does, once: its name, its keys, and what it is good for. */

import type { Host } from "../host.ts";
import type { Icon } from "../icons.ts";
import type { Stage } from "../canvas/stage.ts";
import { LEVELS } from "../store/project.ts";
import type { App, PanelName, ToolName } from "../store/app.ts";
import { type Key, say } from "../words/words.ts";
import { setLevel } from "./clicks.ts";
import { copyCutout } from "./cutout.ts";
import * as edits from "./edits.ts";
import { decide, findElsewhere } from "./elsewhere.ts";
import { findEverything, findSubject } from "./searches.ts";

export type Group = "tools" | "masks" | "view" | "images";

export interface Command {
  readonly id: string;
  readonly words: Key;
  readonly group: Group;
  /** As `KeyboardEvent.key` has them; "mod+" is Ctrl, or Command on a Mac. The first is shown. */
  readonly keys: readonly string[];
  readonly icon?: Icon;
  run(): void;
}

export interface Desk {
  readonly app: App;
  readonly stage: Stage;
  readonly openHelp: () => void;
  readonly openWords: () => void;
}

export function makeCommands({ app, stage, openHelp, openWords }: Desk): Command[] {
  const tool = (name: ToolName, key: string): Command => ({
    id: name,
    words: `tool.${name}`,
    group: "tools",
    keys: [key],
    icon: name,
    run: () => app.show({ tool: name, wordsOpen: false }),
  });
  const command = (
    id: string,
    group: Group,
    words: Key,
    keys: readonly string[],
    run: () => void,
    icon?: Icon,
  ): Command => ({ id, group, words, keys, run, ...(icon ? { icon } : {}) });
  return [
    tool("point", "q"),
    tool("box", "w"),
    tool("lasso", "l"),
    tool("brush", "b"),
    tool("eraser", "x"),
    tool("pick", "v"),
    command("everything", "tools", "tool.everything", ["g"], () => void findEverything(app), "everything"),
    command("subject", "tools", "tool.subject", ["m"], () => void findSubject(app), "subject"),
    command("words", "tools", "tool.words", ["/"], openWords, "words"),
    ...(app.panels ? panelCommands(app, command) : []),
    command("finish", "masks", "key.finish", ["Enter", "e"], () => edits.finish(app)),
    command("cancel", "masks", "key.cancel", ["Escape"], () => cancel(app, stage)),
    command("level", "masks", "key.level", ["s"], () => {
      setLevel(app, LEVELS[(LEVELS.indexOf(app.ui.level) + 1) % LEVELS.length]!);
    }),
    command("sign", "masks", "key.sign", ["t"], () => {
      const sign = app.ui.sign ? 0 : 1;
      app.show({ sign });
      app.notify(say(sign ? "hint.sign_object" : "hint.sign_background"));
    }),
    command("delete", "masks", "key.delete", ["Delete", "Backspace"], () => edits.removeSelected(app)),
    command("undo", "masks", "key.undo", ["z", "mod+z"], () => app.undo()),
    command("redo", "masks", "key.redo", ["y", "mod+y", "mod+shift+z"], () => app.redo()),
    command("all", "masks", "key.all", ["mod+a"], () => edits.selectAll(app)),
    command("merge", "masks", "key.merge", ["j"], () => edits.merge(app)),
    command("subtract", "masks", "key.subtract", ["k"], () => edits.subtractLater(app)),
    command("copy", "masks", "key.copy", ["c", "mod+c"], () => void copyCutout(app, stage)),
    command("smaller", "tools", "key.smaller", ["["], () => app.show({ brush: Math.max(2, app.ui.brush / 1.25) })),
    command("larger", "tools", "key.larger", ["]"], () => app.show({ brush: Math.min(400, app.ui.brush * 1.25) })),
    command("fit", "view", "key.fit", ["f"], () => stage.fit(), "fit"),
    command("pixels", "view", "key.pixels", ["."], () => stage.zoomToPixels()),
    command("zoom_in", "view", "key.zoom_in", ["+", "="], () => stage.zoom(1.4), "plus"),
    command("zoom_out", "view", "key.zoom_out", ["-"], () => stage.zoom(1 / 1.4), "minus"),
    command("hide", "view", "key.hide", ["h"], () => app.show({ peeking: true })),
    command("next", "images", "key.next", ["d", "PageDown"], () => app.step(1)),
    command("previous", "images", "key.previous", ["a", "PageUp"], () => app.step(-1)),
    command("help", "view", "key.help", ["?"], openHelp, "help"),
  ];
}

type Make = (
  id: string, group: Group, words: Key, keys: readonly string[], run: () => void, icon?: Icon,
) => Command;

/** What needs a server. */
function panelCommands(app: App, command: Make): Command[] {
  const panel = (name: PanelName): void => app.show({ panel: app.ui.panel === name ? null : name });
  return [
    command("elsewhere", "tools", "tool.elsewhere", ["i"], () => void findElsewhere(app), "elsewhere"),
    command("depth", "tools", "tool.depth", ["p"], () => panel("depth"), "depth"),
    command("paint", "tools", "tool.paint", ["r"], () => panel("paint"), "paint"),
    command("accept", "masks", "key.accept", ["o"], () => decide(app, true)),
    command("reject", "masks", "key.reject", ["n"], () => decide(app, false)),
  ];
}

/** Drops the thing that has no mask yet or the line that is being drawn; else deselects. */
function cancel(app: App, stage: Stage): void {
  if (app.ui.job?.cancel) return app.ui.job.cancel();
  if (stage.tool.cancel?.()) return;
  const unfinished = app.active;
  if (unfinished && !unfinished.counts) edits.removeSelected(app);
  else if (app.ui.selected.size) app.show({ selected: new Set() });
  else if (app.ui.wordsOpen) app.show({ wordsOpen: false });
  else if (app.ui.panel) app.show({ panel: null });
}

/** A key press in the notation of `Command.keys`. */
export function keyOf(event: KeyboardEvent): string {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const mod = event.ctrlKey || event.metaKey;
  const shift = event.shiftKey && mod; // otherwise the key says it: "?" is Shift and "/"
  return `${mod ? "mod+" : ""}${shift ? "shift+" : ""}${key}`;
}

const NAMES: Readonly<Record<string, string>> = {
  Delete: "Del", Backspace: "⌫", Escape: "Esc", PageDown: "Page ↓", PageUp: "Page ↑",
};

/** How a key is shown to people. */
export function shownKey(key: string): string {
  const isMac = /Mac|iP(hone|ad)/.test(navigator.platform);
  return key
    .split(/\+(?=.)/)
    .map((part) => {
      if (part === "mod") return isMac ? "⌘" : "Ctrl";
      if (part === "shift") return isMac ? "⇧" : "Shift";
      return NAMES[part] ?? (part.length === 1 ? part.toUpperCase() : part);
    })
    .join(isMac ? "" : "+");
}

export function listenToKeys(desk: Desk, commands: readonly Command[], { root, whole }: Host): void {
  const listened: Window | HTMLElement = whole ? window : root;
  const { app, stage } = desk;
  const byKey = new Map(commands.flatMap((one) => one.keys.map((key) => [key, one] as const)));
  const arrows: Readonly<Record<string, readonly [number, number]>> = {
    ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  };
  const onKey = (event: KeyboardEvent): void => {
    const target = event.target as HTMLElement;
    if (event.isComposing || event.defaultPrevented || root.querySelector("dialog[open]")) return;
    if (target.closest("input:not([type=range]), textarea, select, [contenteditable]")) return;
    const onStage = target.id === "stage" || target === root;
    const arrow = arrows[event.key];
    if (onStage && arrow && !event.ctrlKey && !event.metaKey) {
      const step = event.shiftKey ? stage.view.scale : Math.max(12, stage.view.scale);
      stage.nudge(arrow[0] * step, arrow[1] * step);
      return event.preventDefault();
    }
    if (event.key === " " && onStage) {
      event.preventDefault();
      if (event.repeat) return;
      const press = { away: event.altKey, shift: event.shiftKey, ctrl: event.ctrlKey };
      if (!stage.pressHere(press)) stage.holdsSpace = true;
      return app.changed();
    }
    // Enter and Space on a button are the button's.
    if (event.key === "Enter" && target.closest("button, a, summary, [role=option]")) return;
    const key = keyOf(event);
    if (/^[0-9]$/.test(key)) {
      const classes = app.project.classes;
      const chosen = key === "0" ? null : classes[Number(key) - 1]?.name;
      if (chosen !== undefined) edits.useClass(app, chosen);
      return event.preventDefault();
    }
    const command = byKey.get(key);
    if (!command || app.folder?.lacks?.includes(command.id) || (event.repeat && command.group === "masks" && !/undo|redo/.test(command.id))) return;
    if (command.id === "copy" && !app.ui.selected.size) return; // leave text to be copied
    event.preventDefault();
    command.run();
  };
  listened.addEventListener("keydown", onKey as EventListener);
  // The image takes the focus with every click; its ring is for those who came with the keyboard.
  listened.addEventListener("keydown", (event) => {
    const { key } = event as KeyboardEvent;
    if ((key === "Tab" || key in arrows) && !root.classList.contains("by-keyboard")) {
      root.classList.add("by-keyboard");
      app.changed();
    }
  });
  listened.addEventListener("pointerdown", () => {
    if (!root.classList.contains("by-keyboard")) return;
    root.classList.remove("by-keyboard");
    app.changed();
  }, true);
  const release = (event?: KeyboardEvent): void => {
    if (!event || event.key === " ") stage.holdsSpace = false;
    if (app.ui.peeking && (!event || event.key.toLowerCase() === "h")) app.show({ peeking: false });
    app.changed();
  };
  listened.addEventListener("keyup", release as EventListener);
  window.addEventListener("blur", () => release());
}
