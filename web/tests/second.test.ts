import assert from "node:assert/strict";
import { test } from "node:test";
import { Engine, type Features, startDecoding } from "../src/decode/engine.ts";
import { LocalDecoder, type RawImage } from "../src/decode/local.ts";
import type { ServerDecoder } from "../src/decode/server.ts";
import { SharedDecoder } from "../src/decode/shared.ts";
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
  const ask = async (): Promise<string[]> => {
    first.asked.length = second.asked.length = 0;
    await decoder.predict("a", click(), OPTIONS);
    await settled();
    return [...first.asked.map((one) => `first: ${one}`), ...second.asked.map((one) => `second: ${one}`)];
  };
  await decoder.prepare("a");
  await settled();
  assert.deepEqual(await ask(), ["second: predict a"]);
  second.fails = true;
  assert.deepEqual(await ask(), ["first: predict a"]);
  second.fails = false;
  second.forgot("a");
  assert.deepEqual(await ask(), ["first: predict a", "first: features a", "second: handed a"]); // for the next click
  assert.deepEqual(await ask(), ["second: predict a"]);
  first.forgot("a"); // as it does not hear of what the second one is asked
  assert.deepEqual(await ask(), ["second: predict a"]);
  second.fails = true;
  assert.deepEqual(await ask(), ["first: embed a", "first: predict a"]);
});

test("a worker that cannot start is ended", async () => {
  let closed = 0;
  const broken = { start: () => Promise.reject(new Error("no model")), close: () => closed++ };
  await assert.rejects(startDecoding(broken as unknown as Engine, { base: "model/" }), /no model/);
  const told: string[] = [];
  const shared = new SharedDecoder({} as ServerDecoder, (who, why) => told.push(`${who}: ${why}`));
  await shared.begin(() => broken as unknown as Engine, { base: "model/" });
  assert.equal(closed, 2);
  assert.deepEqual(told, ["server: no model"]);
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

Object.assign(globalThis, { document: { baseURI: "http://127.0.0.1/" } }); // files are named by addresses

/** A worker as the browser has it, which answers at once until it dies. */
class FakeWorker {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onerror: ((event: { message: string }) => void) | null = null;
  readonly asked: string[] = [];
  dies: string | null = null;

  postMessage({ id, kind }: { id: number; kind: string }): void {
    this.asked.push(kind);
    setImmediate(() => {
      if (kind === this.dies) this.onerror?.({ message: "out of memory" });
      else this.onmessage?.({ data: { id, answers: [] } });
    });
  }
  terminate(): void {
    this.onmessage = null; // but errors on their way still come
  }
}

/** The page's own decoder, with workers of which each may die of a request. */
function mortal(...deaths: (string | null)[]): { decoder: LocalDecoder; engine: Engine; workers: FakeWorker[] } {
  const workers: FakeWorker[] = [];
  const engine = new Engine(() => {
    const worker = new FakeWorker();
    worker.dies = deaths[workers.length] ?? null;
    workers.push(worker);
    return worker as unknown as Worker;
  });
  const start = (): Promise<void> => engine.start({ base: "model/" }, ["decoder"], 1);
  let starting: Promise<void> | null = null;
  const decoder = new LocalDecoder(engine, async () => {
    if (engine.isDead) starting = null;
    await (starting ??= start());
    return RAW;
  });
  return { decoder, engine, workers };
}

for (const death of ["start", "embed", "predict", "search"]) {
  test(`another worker goes on where the first one died of "${death}"`, async () => {
    const { decoder, workers } = mortal(death);
    await decoder.prepare("a");
    assert.deepEqual(await decoder.predict("a", click(), OPTIONS), []);
    assert.deepEqual(await decoder.everything("a", new AbortController().signal, () => undefined), []);
    assert.equal(workers.length, 2);
    assert.deepEqual(workers[1]!.asked.slice(0, 2), ["start", "embed"]);
  });
}

test("a worker that died while nobody asked is replaced with the next click", async () => {
  const { decoder, workers } = mortal();
  await decoder.prepare("a");
  workers[0]!.onerror!({ message: "out of memory" });
  assert.deepEqual(await decoder.predict("a", click(), OPTIONS), []);
  assert.deepEqual(workers[1]!.asked, ["start", "embed", "predict"]);
});

test("a dead worker's second error does not end the next one", async () => {
  const { decoder, workers } = mortal("embed");
  await decoder.prepare("a");
  workers[0]!.onerror?.({ message: "and again" });
  assert.deepEqual(await decoder.predict("a", click(), OPTIONS), []);
  assert.equal(workers.length, 2);
});

test("an image that could not be read for a dead worker is not encoded once more for the next", async () => {
  const worker = new FakeWorker();
  const engine = new Engine(() => worker as unknown as Worker);
  const reading: { resolve(raw: RawImage): void; reject(error: Error): void }[] = [];
  const decoder = new LocalDecoder(engine, () => new Promise((resolve, reject) => reading.push({ resolve, reject })));
  const before = decoder.prepare("a");
  worker.onerror!({ message: "out of memory" });
  await engine.start({ base: "model/" }, ["decoder"], 1);
  const after = decoder.prepare("a");
  reading[1]!.resolve(RAW);
  await after;
  reading[0]!.reject(new Error("too late"));
  await assert.rejects(before, /too late/);
  void decoder.predict("a", click(), OPTIONS);
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(reading.length, 2);
});

test("what kills every worker is told in the end", async () => {
  const { decoder, workers } = mortal("embed", "embed", "embed", "embed");
  await assert.rejects(decoder.prepare("a"), /out of memory/);
  assert.equal(workers.length, 2);
});
