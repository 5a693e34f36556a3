/** From clicks and boxes to masks: what the pointer is on is previewed, a click keeps it. */

import { Away, Refused, describe } from "../api/client.ts";
import { Latest } from "../decode/latest.ts";
import * as histories from "../store/history.ts";
import {
  type Answer, type Box, type Point, type Prompt, type Thing,
  addThings, answered, bySize, choose, editThings, newThing, prompted, removeThings, thingsOf, withThings,
} from "../store/project.ts";
import type { App } from "../store/app.ts";
import { say } from "../words/words.ts";

export interface Preview {
  readonly image: string;
  readonly at: readonly [number, number];
  readonly answers: readonly Answer[];
}

const AGAIN_MS = 2000; // after the server did not answer

export class Clicks {
  preview: Preview | null = null;
  private readonly asking = new Set<string>();
  /** What is being worked out for a preview at the moment. */
  private coming: { image: string; at: readonly [number, number] } | null = null;
  private readonly latest: Latest<{ image: string; at: readonly [number, number] }, Answer[]>;

  constructor(
    private readonly app: App,
    private readonly repaint: () => void,
  ) {
    this.latest = new Latest(
      ({ image, at }) => {
        const coming = { image, at };
        this.coming = coming;
        const options = { many: true, logits: null, keepLogits: false };
        return this.app.decoder.predict(image, pointPrompt([at[0], at[1], 1]), options).finally(() => {
          if (this.coming === coming) this.coming = null;
        });
      },
      ({ image, at }, answers) => {
        this.preview = { image, at, answers: bySize(answers) };
        this.repaint();
      },
      () => this.clearPreview(), // a click will say what is wrong
    );
  }

  // ----------------------------------------------------------------------------- preview

  hover(at: readonly [number, number]): void {
    if (this.app.ui.image === null || !this.app.isLoaded) return;
    this.latest.ask({ image: this.app.ui.image, at });
  }

  clearPreview(): void {
    this.latest.drop();
    if (!this.preview) return;
    this.preview = null;
    this.repaint();
  }

  get shown(): Answer | null {
    if (!this.preview || this.preview.image !== this.app.ui.image) return null;
    return choose(this.preview.answers, this.app.ui.level);
  }

  // ------------------------------------------------------------------------------ clicks

  /** Adds a click to a thing, or begins one. `near` is how far, in pixels, the preview may be off. */
  click(point: Point, thing: Thing | null, near: number): void {
    const image = this.app.ui.image!;
    if (thing) {
      const ids = new Set([thing.id]);
      const project = editThings(this.app.project, image, ids, (one) => prompted(one, point));
      this.app.commit(project, "point");
      this.ask(image, thing.id);
      return;
    }
    const isNear = (one: { image: string; at: readonly [number, number] } | null): boolean =>
      one?.image === image && Math.hypot(one.at[0] - point[0], one.at[1] - point[1]) <= near;
    const seen = isNear(this.preview) ? this.preview : null;
    // What is on its way already comes sooner than what would have to wait for it.
    const [x, y] = seen?.at ?? (isNear(this.coming) ? this.coming!.at : point);
    this.begin(pointPrompt([x, y, 1]), seen?.answers ?? [], "point");
  }

  box(box: Box): void {
    this.app.whenLoaded(() => this.begin({ points: [], box, mask: null }, [], "box"));
  }

  /** Begins a thing; with answers that were seen already, its mask is there at once. */
  begin(prompt: Prompt, answers: readonly Answer[], what: string): void {
    const image = this.app.ui.image!;
    const fresh = newThing({ prompt, label: this.app.ui.label, level: this.app.ui.level });
    const thing = { ...answered(fresh, answers), waiting: true };
    this.clearPreview();
    this.app.show({ selected: new Set([thing.id]) });
    this.app.commit(addThings(this.app.project, image, [thing]), what);
    this.ask(image, thing.id);
  }

  /** Asks for the mask of each thing of an image that waits for one, such as after undo. */
  askWaiting(image: string): void {
    for (const thing of thingsOf(this.app.project, image)) if (thing.waiting) this.ask(image, thing.id);
  }

  /** Asks for a thing's mask until its newest prompt is answered: one request at a time. */
  ask(image: string, id: string): void {
    if (this.asking.has(id)) return;
    this.asking.add(id);
    void this.answer(image, id).finally(() => this.asking.delete(id));
  }

  private async answer(image: string, id: string): Promise<void> {
    for (;;) {
      const thing = thingsOf(this.app.project, image).find((one) => one.id === id);
      if (!thing?.waiting || !thing.prompt) return;
      const prompt = thing.prompt;
      try {
        const answers = await this.app.decoder.predict(image, prompt, {
          many: prompt.points.length === 1 && !prompt.box && !prompt.mask,
          logits: logitsOf(thing),
          keepLogits: true,
        });
        this.app.settle(
          histories.settle(this.app.history, image, id, prompt, (one) => answered(one, bySize(answers))),
        );
      } catch (error) {
        if (error instanceof Away) {
          this.app.notify(say("error.retrying", { error: describe(error) }), true);
          await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
          continue;
        }
        this.giveUp(image, id, prompt);
        this.app.fail(error);
        if (!(error instanceof Refused)) return;
      }
    }
  }

  /** Ends the waiting for an answer that will not come; a thing that has no mask at all goes. */
  private giveUp(image: string, id: string, prompt: Prompt): void {
    const history = histories.settle(this.app.history, image, id, prompt, (one) => ({ ...one, waiting: false }));
    this.app.settle(
      histories.amend(history, (project) => {
        const empty = thingsOf(project, image).filter((one) => one.id === id && !one.counts && !one.waiting);
        return empty.length ? removeThings(project, image, new Set([id])) : project;
      }),
    );
  }
}

function pointPrompt(point: Point): Prompt {
  return { points: [point], box: null, mask: null };
}

/** What the model made of the shorter prompt before, to go on from. */
function logitsOf(thing: Thing): Answer["logits"] {
  if ((thing.prompt?.points.length ?? 0) < 2 && !thing.prompt?.mask) return null;
  return thing.answers.find((answer) => answer.counts === thing.counts)?.logits ?? null;
}

/** Changes which of several answers is meant. */
export function setLevel(app: App, level: App["ui"]["level"]): void {
  app.show({ level });
  if (app.ui.image === null) return;
  const project = editThings(app.project, app.ui.image, app.ui.selected, (thing) =>
    thing.answers.length > 1 && thing.level !== level ? answered(thing, thing.answers, level) : thing,
  );
  app.commit(project, "level");
}

/** Puts the things of an image in another order or number, as a step. */
export function replaceThings(app: App, things: readonly Thing[], what: string): void {
  app.commit(withThings(app.project, app.ui.image!, things), what);
}
