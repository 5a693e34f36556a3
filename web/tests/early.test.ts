import assert from "node:assert/strict";
import { test } from "node:test";
import type { Api, Picture } from "../src/api/api.ts";
import type { Press } from "../src/canvas/gestures.ts";
import type { View } from "../src/canvas/view.ts";
import type { Decoder } from "../src/decode/decoder.ts";
import * as runs from "../src/masks/runs.ts";
import { App } from "../src/store/app.ts";
import { type Prompt, type Thing, newThing } from "../src/store/project.ts";
import { Clicks } from "../src/tools/clicks.ts";
import { finish } from "../src/tools/edits.ts";
import { findEverything } from "../src/tools/searches.ts";
import { makeTools } from "../src/tools/tools.ts";

// What is done to an image before its masks are known.

globalThis.requestAnimationFrame = (run) => Number(setTimeout(run, 0));

const SIDE = 40;
const PICTURES = ["a", "b"].map((id): Picture => ({ id, name: `${id}.png`, w: SIDE, h: SIDE, masks: 0, revision: 0, error: null }));
const left = runs.encode(Uint8Array.from({ length: SIDE * SIDE }, (_, i) => Number(i < (SIDE * SIDE) / 2)));

class Scene {
  readonly said: string[] = [];
  readonly prompts: Prompt[] = [];
  /** Answers what was asked of the store, in that order. */
  readonly stored: { give(things: readonly Thing[], revision?: number): void; fail(): void }[] = [];
  revision = 0;
  readonly app: App;
  readonly tools: ReturnType<typeof makeTools>;

  constructor() {
    const things = () =>
      new Promise((resolve, reject) => {
        const give = (things: readonly Thing[], revision = 0): void => resolve({ things, revision });
        this.stored.push({ give, fail: () => reject(new Error("no such masks")) });
      });
    const folder = async () => ({
      name: "", pictures: PICTURES.map((one) => ({ ...one, revision: this.revision })), classes: [], classes_revision: 0, model: "", words: [], example: false,
    });
    const app = (this.app = new App({ things, folder, putThings: async (_: unknown, __: unknown, revision: number) => revision + 1 } as unknown as Api));
    app.notify = (text) => this.said.push(text);
    app.decoder = {
      predict: async (_: string, prompt: Prompt) => {
        this.prompts.push(prompt);
        return [{ counts: left, score: 1, stability: null, label: null, logits: null }];
      },
      everything: async () => [{ counts: left, score: 1, stability: null, label: null, logits: null }],
    } as unknown as Decoder;
    const clicks = new Clicks(app, () => undefined);
    this.tools = makeTools({ app, clicks, view: () => ({ scale: 1, x: 0, y: 0 }) as View, repaint: () => undefined });
  }

  async open(): Promise<this> {
    this.app.begin(await this.app.api.folder());
    void this.app.open("a");
    return this;
  }

  at(tool: "point" | "brush", x: number, y: number, more: Partial<Press> = {}): void {
    const press = { x, y, away: false, shift: false, ctrl: false, ...more };
    this.tools[tool].press(press, press);
    this.tools[tool].release?.(press, press);
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

test("two early clicks are two points of one mask", async () => {
  const scene = await new Scene().open();
  scene.at("point", 3, 4);
  scene.app.show({ sign: 0 });
  scene.at("point", 30, 31);
  assert.deepEqual(scene.app.things, []);
  scene.stored[0]!.give([]);
  await settled();
  assert.equal(scene.app.things.length, 1);
  assert.deepEqual(scene.prompts.at(-1)!.points.map(([x, y, label]) => [Math.round(x), Math.round(y), label]), [[3, 4, 1], [30, 31, 0]]);
});

test("what is finished early is finished", async () => {
  const scene = await new Scene().open();
  scene.at("point", 3, 4);
  finish(scene.app);
  scene.at("point", 30, 31);
  scene.stored[0]!.give([]);
  await settled();
  assert.deepEqual(scene.app.things.map((one) => one.prompt!.points.length), [1, 1]);
});

test("an early click beside the object is about the mask that is there", async () => {
  const scene = await new Scene().open();
  scene.at("point", 3, 4, { away: true });
  scene.stored[0]!.give([newThing({ counts: left })]);
  await settled();
  assert.deepEqual(scene.said, []);
  assert.deepEqual(scene.app.things[0]!.prompt?.points.map(([, , label]) => label), [0]);
});

test("an early stroke stays one that adds, whatever is tried after it", async () => {
  const scene = await new Scene().open();
  scene.at("brush", 9, 9);
  scene.at("brush", 9, 9, { away: true }); // there is nothing to take away from
  scene.stored[0]!.give([]);
  await settled();
  assert.equal(scene.app.things.length, 1);
  assert.ok(runs.area(scene.app.things[0]!.counts!) > 0);
});

test("where the masks cannot be had, every click says so", async () => {
  const scene = await new Scene().open();
  scene.stored[0]!.fail(); // told by whoever opened it
  await settled();
  scene.at("point", 3, 4);
  scene.stored[1]!.fail();
  await settled();
  assert.equal(scene.said.filter((one) => one.includes("no such masks")).length, 2);
  scene.at("point", 3, 4);
  scene.stored[2]!.give([]);
  await settled();
  assert.equal(scene.app.things.length, 1);
});

test("what was done to an image that is left before it was there is not done to another", async () => {
  const scene = await new Scene().open();
  scene.at("point", 3, 4);
  void scene.app.open("b");
  scene.stored[1]!.give([]);
  scene.stored[0]!.give([]);
  await settled();
  assert.deepEqual([scene.app.things, scene.prompts], [[], []]);
});

test("a search that is cancelled while the masks are waited for adds nothing", async () => {
  const scene = await new Scene().open();
  const search = findEverything(scene.app);
  await settled();
  scene.app.ui.job!.cancel!();
  scene.stored[0]!.give([]);
  await search;
  assert.deepEqual(scene.app.things, []);
});

test("what another window did is one step, however often it is looked for", async () => {
  const scene = await new Scene().open();
  scene.stored[0]!.give([]);
  await settled();
  scene.revision = 1;
  const looked = Promise.all([scene.app.refresh(), scene.app.refresh()]);
  await settled();
  scene.stored.slice(1).forEach((one) => one.give([newThing({ counts: left })], 1));
  await looked;
  assert.equal(scene.app.things.length, 1);
  scene.app.undo();
  assert.equal(scene.app.things.length, 0);
});

test("what is saved while others' changes are looked for is not undone by what was there before", async () => {
  const scene = await new Scene().open();
  scene.stored[0]!.give([]);
  await settled();
  scene.revision = 5; // as when a save is on its way
  const looked = scene.app.refresh();
  await settled();
  scene.at("brush", 9, 9);
  await scene.app.saved(AbortSignal.timeout(5000));
  scene.stored[1]!.give([], 5);
  await looked;
  assert.equal(scene.app.things.length, 1);
});
