import assert from "node:assert/strict";
import { test } from "node:test";
import type { Engine, Features } from "../src/decode/engine.ts";
import { LocalDecoder, type RawImage } from "../src/decode/local.ts";
import type { Answer, Prompt } from "../src/store/project.ts";

const RAW: RawImage = { width: 1, height: 1, data: new Uint8ClampedArray(4) };
const CLICK: Prompt = { points: [[0, 0, 1]], box: null, mask: null };
const OPTIONS = { many: true, logits: null, keepLogits: false };
const FEATURES: Features = {
  way: { original: [1, 1], resized: [1, 1], frame: [1, 1], offset: [0, 0], enlarge: "bilinear" },
  low: [1, 1],
  maps: [],
};

/** A worker that notes what it is asked. */
class Fake {
  readonly asked: string[] = [];
  forgot: (image: string) => void = () => undefined;
  failed: ((error: Error) => void) | null = null;
  fails = false;

  async embed(image: string): Promise<void> {
    this.asked.push(`embed ${image}`);
  }
  async features(image: string): Promise<Features> {
    this.asked.push(`features ${image}`);
    return FEATURES;
  }
  async handed(image: string, features: Features): Promise<void> {
    assert.equal(features, FEATURES);
    this.asked.push(`handed ${image}`);
  }
  async predict(image: string): Promise<Answer[]> {
    if (this.fails) throw new Error("it died");
    this.asked.push(`predict ${image}`);
    return [];
  }
}

function decoderOf(first: Fake, open: () => Promise<Engine>): LocalDecoder {
  return new LocalDecoder(first as unknown as Engine, async () => RAW, open);
}

/** Lets all that is ready to go on do so. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
let places = 0;
/** Another click than all before, as the latest ones are remembered. */
const click = (): Prompt => ({ ...CLICK, points: [[places++, 0, 1]] });

test("a second worker answers once it has what the first one encoded", async () => {
  const [first, second] = [new Fake(), new Fake()];
  let opened = (_: Engine): void => undefined;
  const decoder = decoderOf(first, () => new Promise((resolve) => (opened = resolve)));
  await decoder.prepare("a");
  await decoder.predict("a", click(), OPTIONS);
  assert.deepEqual(first.asked, ["embed a", "predict a"]); // nobody waits for the second one
  opened(second as unknown as Engine);
  await settled();
  await decoder.predict("a", click(), OPTIONS);
  assert.deepEqual(second.asked, ["handed a", "predict a"]);
  assert.deepEqual(first.asked, ["embed a", "predict a", "features a"]);
});

test("what the second worker has let go, or dies over, is answered by the first one", async () => {
  const [first, second] = [new Fake(), new Fake()];
  const decoder = decoderOf(first, async () => second as unknown as Engine);
  const lastOf = async (): Promise<string | undefined> => {
    const before = [...first.asked, ...second.asked].length;
    await decoder.predict("a", click(), OPTIONS);
    assert.equal([...first.asked, ...second.asked].length, before + 1);
    return first.asked.at(-1) === "predict a" ? "first" : "second";
  };
  await decoder.prepare("a");
  await settled();
  assert.equal(await lastOf(), "second");
  second.fails = true;
  assert.equal(await lastOf(), "first");
  second.fails = false;
  second.forgot("a");
  second.asked.length = first.asked.length = 0;
  assert.equal(await lastOf(), "first");
});

test("where no second worker can be had, one does everything", async () => {
  const first = new Fake();
  const decoder = decoderOf(first, () => Promise.reject(new Error("no memory")));
  for (const image of ["a", "b"]) {
    await decoder.prepare(image);
    await settled();
    await decoder.predict(image, click(), OPTIONS);
  }
  assert.deepEqual(first.asked, ["embed a", "predict a", "embed b", "predict b"]);
});
