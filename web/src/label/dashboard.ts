/** How the work goes: progress, people, models, how well people agree, and audits. */

import { describe } from "../api/client.ts";
import { fill, h } from "../dom.ts";
import { focusStage } from "../host.ts";
import { icon } from "../icons.ts";
import type { App } from "../store/app.ts";
import { type Key, say } from "../words/words.ts";
import type { Audit, LabelApi, PairAgreement, Status } from "./label_api.ts";
import type { Queue } from "./queue.ts";

type Cell = string | number | HTMLElement;

/** Makes the dialog; opening it asks for all that it shows. */
export function makeDashboard(app: App, api: LabelApi, queue: Queue): { element: HTMLDialogElement; open: () => void } {
  const progress = h("div", { class: "progress" });
  const people = h("div", { id: "people" });
  const versions = h("div", { id: "versions" });
  const agreement = h("div", { id: "agreement" });
  const audits = h("div", { id: "audits" });
  const compare = h("button", { type: "button", class: "button", id: "compare", onclick: () => void load(agreement, async () => agreementTable(await api.agreement())) }, say("dashboard.compare"));
  const close = h("button", { type: "button", class: "icon-button", "aria-label": say("help.close"), title: say("help.close"), onclick: () => element.close() }, icon("close"));
  const part = (title: Key, about: Key, ...children: HTMLElement[]): HTMLElement =>
    h("section", {}, h("h3", {}, say(title)), h("p", { class: "dashboard-about" }, say(about)), ...children);
  const element = h(
    "dialog",
    { id: "dashboard", class: "dashboard-dialog", "aria-label": say("dashboard.title") },
    h("div", { class: "dialog-head" }, h("h2", {}, say("dashboard.title")), close),
    h(
      "div",
      { class: "dashboard" },
      progress,
      part("dashboard.people", "dashboard.people_about", people),
      part("dashboard.versions", "dashboard.versions_about", versions),
      part("dashboard.agreement", "dashboard.agreement_about", agreement, compare),
      part("dashboard.audits", "dashboard.audits_about", audits, makeBegin(api, () => void showAudits())),
      h("p", { class: "dashboard-about" }, say("dashboard.not_here")),
    ),
  );
  element.addEventListener("click", (event) => {
    if (event.target === element) element.close(); // the backdrop
  });
  element.addEventListener("close", () => focusStage(element));
  const look = (name: string): void => {
    element.close();
    void queue.choose("audit", name);
  };
  const showAudits = (): Promise<void> => load(audits, async () => auditList(await api.audits(), look));
  const show = (): void => {
    const { status } = api;
    if (!status || !element.open) return;
    fill(progress, ...progressParts(status));
    fill(people, peopleTable(status));
    fill(versions, versionsTable(status));
  };
  app.listen(show);
  return {
    element,
    open: () => {
      element.showModal();
      fill(agreement);
      show();
      void app.refresh().then(show, (error: unknown) => app.fail(error));
      void showAudits();
    },
  };
}

/** Fills a part with what has to be asked for; says why there is nothing. */
async function load(place: HTMLElement, make: () => Promise<HTMLElement>): Promise<void> {
  fill(place, h("p", { class: "dashboard-about" }, say("dashboard.loading")));
  try {
    fill(place, await make());
  } catch (error) {
    fill(place, h("p", { class: "dashboard-trouble", role: "alert" }, describe(error)));
  }
}

function table(heads: readonly Key[], rows: readonly (readonly Cell[])[]): HTMLElement {
  if (!rows.length) return h("p", { class: "dashboard-none" }, say("dashboard.none"));
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, ...heads.map((one) => h("th", { scope: "col" }, say(one))))),
    h("tbody", {}, ...rows.map((cells) => h("tr", {}, ...cells.map((cell) => h("td", {}, typeof cell === "number" ? cell.toLocaleString() : cell))))),
  );
}

// ----------------------------------------------------------------------------- progress

function progressParts(status: Status): HTMLElement[] {
  const { open, done, accepted } = status.by_state;
  const share = (count: number): string => `${(100 * count) / Math.max(1, status.images)}%`;
  const bar = (name: "accepted" | "done" | "open", count: number): HTMLElement => {
    const part = h("span", { class: `bar-${name}`, title: `${say(`dashboard.${name}`)}: ${count}` });
    part.style.width = share(count);
    return part;
  };
  const figure = (key: Key, value: string, kind = ""): HTMLElement => h("div", { class: `figure ${kind}` }, h("b", {}, value), h("span", {}, say(key)));
  const perMask = status.seconds_per_mask;
  return [
    h("div", { class: "progress-bar", role: "img", "aria-label": say("label.progress_about", { open, done, accepted }) }, bar("accepted", accepted), bar("done", done), bar("open", open)),
    h(
      "div",
      { class: "figures" },
      figure("dashboard.accepted", accepted.toLocaleString(), "is-accepted"),
      figure("dashboard.done", done.toLocaleString(), "is-done"),
      figure("dashboard.open", open.toLocaleString(), "is-open"),
      figure("dashboard.masks", status.masks.toLocaleString()),
      figure("dashboard.time", duration(status.seconds)),
      figure("dashboard.per_change", perMask === null ? "–" : say("label.took", { seconds: perMask.toFixed(1) })),
      figure("dashboard.slow", status.timed ? `${status.slow.toLocaleString()} / ${status.timed.toLocaleString()}` : "–"),
    ),
    h("p", { class: "dashboard-about" }, say("dashboard.used", { version: status.version ?? say("dashboard.bundled"), detector: status.detector ?? say("dashboard.bundled") })),
  ];
}

/** Hours and minutes, or minutes and seconds. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (value: number): string => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  return hours ? `${hours}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}` : `${Math.floor(whole / 60)}:${two(whole % 60)}`;
}

// ------------------------------------------------------------------------------- tables

const percent = (value: number | null): string => (value === null ? "–" : `${(100 * value).toFixed(1)} %`);
const iou = (value: number | null): string => (value === null ? "–" : value.toFixed(3));

function peopleTable(status: Status): HTMLElement {
  const has = new Map(status.leases.map((one) => [one.person, one.image]));
  const rows = status.people.map((one): Cell[] => [
    one.person, one.images, duration(one.seconds), one.changes,
    one.seconds_per_mask === null ? "–" : say("label.took", { seconds: one.seconds_per_mask.toFixed(1) }),
    has.get(one.person) ?? "",
  ]);
  return table(["dashboard.person", "dashboard.images", "dashboard.time", "dashboard.changes", "dashboard.per_mask", "dashboard.now"], rows);
}

function versionsTable(status: Status): HTMLElement {
  const rows = status.versions.map((one): Cell[] => {
    const { accepted, rejected, pending } = one.by_review;
    const decided = accepted + rejected;
    return [one.version, accepted + rejected + pending, accepted, rejected, pending, percent(decided ? accepted / decided : null)];
  });
  return table(["dashboard.version", "dashboard.masks", "review.accepted", "review.rejected", "dashboard.pending", "dashboard.accepted_share"], rows);
}

function agreementTable(pairs: readonly PairAgreement[]): HTMLElement {
  const rows = pairs.map((one): Cell[] => [
    `${one.first} – ${one.second}`, one.images, one.pairs, iou(one.mean_iou), percent(one.above_90), percent(one.above_75), `${one.only_first} / ${one.only_second}`,
  ]);
  return table(["dashboard.pair", "dashboard.images", "dashboard.pairs", "dashboard.iou", "dashboard.above_90", "dashboard.above_75", "dashboard.alone"], rows);
}

function auditList(audits: readonly Audit[], look: (name: string) => void): HTMLElement {
  if (!audits.length) return h("p", { class: "dashboard-none" }, say("dashboard.none"));
  const one = (audit: Audit): HTMLElement =>
    h(
      "div",
      { class: "audit" },
      h(
        "div",
        { class: "audit-head" },
        h("b", {}, audit.name),
        h("span", {}, say("dashboard.audit_left", { left: audit.waiting, of: audit.sampled })),
        audit.waiting > 0 && h("button", { type: "button", class: "button primary", onclick: () => look(audit.name) }, say("dashboard.audit_go")),
      ),
      audit.rows.some((row) => row.masks > 0) &&
        table(
          ["dashboard.of", "dashboard.looked_at", "dashboard.above_90", "dashboard.above_75", "dashboard.iou"],
          audit.rows.filter((row) => row.masks > 0).map((row) => [row.of === "all" ? say("dashboard.all") : row.of, row.masks, percent(row.above_90), percent(row.above_75), iou(row.mean_iou)]),
        ),
    );
  return h("div", {}, ...audits.map(one));
}

function makeBegin(api: LabelApi, begun: () => void): HTMLElement {
  const name = h("input", { type: "text", class: "class-input", id: "audit-name", required: true, maxlength: 200, placeholder: say("dashboard.audit_name"), "aria-label": say("dashboard.audit_name") });
  const sample = h("input", { type: "number", class: "class-input", id: "audit-sample", min: 1, max: 1_000_000, value: 500, required: true, "aria-label": say("dashboard.audit_sample"), title: say("dashboard.audit_sample") });
  const trouble = h("p", { class: "dashboard-trouble", role: "alert" });
  const form = h(
    "form",
    {
      class: "audit-new",
      onsubmit: (event: SubmitEvent) => {
        event.preventDefault();
        trouble.textContent = "";
        api.beginAudit(name.value.trim(), sample.valueAsNumber).then(
          () => {
            name.value = "";
            begun();
          },
          (error: unknown) => (trouble.textContent = describe(error)),
        );
      },
    },
    name, sample, h("button", { type: "submit", class: "button", id: "audit-begin" }, say("dashboard.audit_begin")),
  );
  return h("div", {}, form, trouble);
}
