import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { test } from "node:test";
import { Recall } from "../src/decode/recall.ts";
import { numbersOf, textOf, writeLogits } from "../src/decode/logits.ts";
import type { Answer, Prompt } from "../src/store/project.ts";
import { Enlarger } from "../src/worker/enlarge.ts";
import { gridSide } from "../src/worker/everything.ts";
import { type Preprocessing, fit, forEncoder, framed, maskToFrame } from "../src/worker/frame.ts";
import { complete, deepestPoints, weighed } from "../src/worker/implied.ts";
import { soften } from "../src/worker/matting.ts";
import { opaque, resizeBytes } from "../src/worker/resize.ts";
import { boxIou, pick, ranked } from "../src/worker/ssd.ts";
import { fromHalves, inflated, toHalf, unpackWeights } from "../src/worker/tensors.ts";
import { CompactDecoder } from "../src/worker/compact/decoder.ts";
import { labelsOf, phrasesOf } from "../src/worker/words.ts";

// What the library makes of the same, written by tests/web/test_worker_numbers.py.
const goldens = JSON.parse(readFileSync("tests/worker.json", "utf8"));

function bytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "base64"));
}

function floats(text: string): Float32Array {
  return new Float32Array(bytes(text).buffer as ArrayBuffer);
}

function near(found: ArrayLike<number>, wanted: ArrayLike<number>, most: number): void {
  assert.equal(found.length, wanted.length);
  for (let i = 0; i < found.length; i++) assert.ok(Math.abs(found[i]! - wanted[i]!) <= most, `${i}: ${found[i]} ${wanted[i]}`);
}

test("images are resized as Pillow does, to the last level", () => {
  for (const { size, to, pixels, made } of goldens.resize) {
    assert.deepEqual(resizeBytes(bytes(pixels), size, to, 3), bytes(made));
  }
});

test("images come into the model's frame as the library brings them", () => {
  assert.equal(goldens.frames.length, 5);
  for (const { preprocessing, size, pixels, frame, made } of goldens.frames) {
    const own = forEncoder(preprocessing as Preprocessing);
    const way = fit(size, own);
    assert.deepEqual(way.frame, frame);
    near(framed(bytes(pixels), way, own), floats(made), 1e-5);
  }
  const { preprocessing, size, pixels } = goldens.frames[0];
  const strange = { ...preprocessing, resize: "opencv" } as Preprocessing;
  assert.throws(() => framed(bytes(pixels), fit(size, strange), strange), /let a server do it/);
});

test("everything asks less where one thread has to do it", () => {
  assert.deepEqual([gridSide(24, 1), gridSide(24, 2), gridSide(8, 1)], [16, 24, 8]);
});

test("what is transparent lies on white", () => {
  const data = Uint8ClampedArray.of(10, 20, 30, 255, 0, 0, 0, 0, 0, 100, 255, 128);
  assert.deepEqual([...opaque({ width: 3, height: 1, data })], [10, 20, 30, 255, 255, 255, 127, 177, 255]);
});

test("soft edges are those of the library, but for the last level", () => {
  for (const { size, step, alpha, colours } of goldens.soft) {
    const [h, w] = size as [number, number];
    const rgb = new Uint8Array(3 * h * w);
    const mask = new Uint8Array(h * w);
    const radius = Math.floor(h / 3) ** 2;
    for (let y = 0, i = 0; y < h; y++) {
      for (let x = 0; x < w; x++, i++) {
        const away = (x - Math.floor(w / 2)) ** 2 + (y - Math.floor(h / 2)) ** 2;
        mask[i] = +(away < radius);
        const share = Math.floor(Math.min(Math.max(radius + 4 * h - away, 0), 8 * h) / h);
        for (let c = 0; c < 3; c++) {
          const texture = (7 * x + 3 * y + 50 * c) % 24;
          rgb[3 * i + c] = Math.floor((share * (180 + texture) + (8 - share) * (30 + 2 * texture)) / 8);
        }
      }
    }
    const found = soften(rgb, mask, [h, w]);
    const sampled = (values: Uint8Array, channels: number): number[] => {
      const some = [];
      for (let y = 0; y < h; y += step) for (let x = 0; x < w; x += step) some.push(...values.subarray(channels * (y * w + x), channels * (y * w + x + 1)));
      return some;
    };
    near(sampled(found.alpha, 1), bytes(alpha), 1);
    near(sampled(found.colours!, 3), bytes(colours), 1);
    assert.ok(found.alpha.some((value) => value > 20 && value < 235));
    assert.deepEqual(soften(rgb, mask, [h, w], false), { alpha: found.alpha, colours: null });
  }
  assert.deepEqual(soften(Uint8Array.of(1, 2, 3), Uint8Array.of(1), [1, 1]), { alpha: Uint8Array.of(255), colours: Uint8Array.of(1, 2, 3) });
});

test("logits become the masks that the library makes of them", () => {
  for (const { size, side, pad, enlarge, low, logits, counts, stability } of goldens.masks) {
    const way = fit(size, { side, pad, squash: enlarge === "direct", centre: false, enlarge } as Preprocessing);
    const enlarger = new Enlarger(way, low);
    assert.deepEqual([...enlarger.counts(floats(logits))], counts);
    const measured = enlarger.measure(floats(logits), 0.5);
    assert.deepEqual([...measured.counts], counts);
    near([measured.stability], [stability], 1e-3);
  }
});

test("masks of very many runs stay whole", () => {
  const way = fit([64, 512], { side: 512, pad: null, squash: false, centre: false, enlarge: "bilinear" } as unknown as Preprocessing);
  const enlarger = new Enlarger(way, [64, 512]);
  for (let stripes = 120; stripes < 136; stripes++) {
    const logits = Float32Array.from({ length: 64 * 512 }, (_, i) => (i % 512 < 2 * stripes && i % 2 === 0 && i < 512 ? 1 : -1));
    const counts = enlarger.counts(logits);
    assert.equal(counts.reduce((sum, one) => sum + one, 0), 64 * 512);
    assert.equal(counts.length, 2 * stripes + 1);
  }
});

test("a rough mask means what it means to the library", () => {
  const { low, mask, fed, points, box, deepest, logits, weighed: wanted } = goldens.rough;
  const way = fit([60, 80], { side: 64, pad: 32, squash: false, centre: false, enlarge: "bilinear" } as unknown as Preprocessing);
  const dense = { h: 60, w: 80, pixels: bytes(mask) };
  near(maskToFrame(dense.pixels, way, low), floats(fed), 1e-4);
  assert.deepEqual(complete(dense, true, [], way, low), { points, box, mask: true });
  assert.deepEqual(deepestPoints(dense, 4), deepest);
  near(weighed(floats(logits), floats(fed), low), floats(wanted), 1e-4);
  const line = new Uint8Array(60 * 80).fill(1, 30 * 80 + 10, 30 * 80 + 60);
  const said = complete({ h: 60, w: 80, pixels: line }, true, [], way, low);
  assert.deepEqual([said.mask, said.box, said.points.length > 0], [false, null, true]);
});

test("packed weights are unpacked to the last bit", () => {
  const { size } = goldens.weights;
  for (const stored of ["int8", "int16"]) {
    const { packed, sums } = goldens.weights[stored];
    const files = new Map<string, Uint8Array>();
    unpackWeights(bytes(packed).buffer as ArrayBuffer, files);
    const file = files.get("a.data")!;
    assert.equal(file.length, size);
    const step = size / sums.length;
    const found = sums.map((_: number, i: number) => file.subarray(i * step, (i + 1) * step).reduce((sum, one) => sum + one, 0));
    assert.deepEqual(found, sums);
  }
});

test("numbers of 16 bits go there and back", () => {
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const values = fromHalves(all);
  for (let bits = 0; bits < 65536; bits++) {
    if (!Number.isNaN(values[bits]!)) assert.equal(toHalf(values[bits]!), bits);
  }
  assert.equal(toHalf(1 + 2 ** -11), toHalf(1)); // of two as near, the even one
  assert.equal(toHalf(1 + 3 * 2 ** -11), toHalf(1) + 2);
  assert.equal(toHalf(70000), 0x7c00);
  assert.equal(toHalf(2 ** -26), 0);
});

test("files are inflated unless somebody has done so already", async () => {
  const plain = Uint8Array.of(1, 2, 3);
  const zipped = Uint8Array.from(gzipSync(plain));
  assert.deepEqual(new Uint8Array(await inflated(zipped.buffer)), plain);
  assert.deepEqual(new Uint8Array(await inflated(plain.buffer)), plain);
});

test("words mean what they mean to the library", () => {
  const { vocabulary, texts, labels } = goldens.words;
  for (const [text, phrases] of Object.entries(texts)) assert.deepEqual(phrasesOf(text, vocabulary), phrases);
  for (const [phrase, known] of Object.entries(labels)) assert.deepEqual(labelsOf(phrase, vocabulary), known);
});

test("of boxes that overlap the best stays, within a label", () => {
  const boxes = [[0, 0, 10, 10], [1, 0, 10, 10], [20, 0, 30, 10]] as const;
  const seen = { boxes, scores: Float32Array.of(0.5, 0.1, 0.9, 0.2, 0.4, 0.8), labels: 2 };
  const wanted = { minScore: 0.3, nms: 0.5, most: 9, labels: null };
  assert.deepEqual(pick(seen, wanted).map(({ box, label }) => [boxes.indexOf(box as never), label]), [[1, 0], [2, 1], [2, 0]]);
  assert.equal(ranked(pick(seen, wanted), 0.5).length, 2);
  assert.equal(boxIou([0, 0, 2, 2], [1, 0, 3, 2]), 1 / 3);
});

test("logits are the same numbers as text", () => {
  const numbers = Float32Array.from({ length: 20000 }, (_, i) => Math.fround(i / 7 - 900));
  const text = textOf(writeLogits(numbers, [100, 200]));
  assert.equal(typeof text.data, "string");
  assert.deepEqual(numbersOf(text), numbers);
  assert.deepEqual(text.shape, [100, 200]);
});

test("a click where the pointer was is answered by what was asked for it", async () => {
  let asked = 0;
  const answer: Answer = { counts: Uint32Array.of(1), score: 1, stability: null, label: null, logits: null };
  const recall = new Recall((_image, _prompt, { keepLogits }) => {
    asked++;
    assert.ok(keepLogits); // a click will want them
    return Promise.resolve([answer]);
  });
  const at = (x: number): Prompt => ({ points: [[x, 1, 1]], box: null, mask: null });
  const options = { many: true, logits: null, keepLogits: false };
  await Promise.all([recall.predict("a", at(1), options), recall.predict("a", at(1), { ...options, keepLogits: true })]);
  assert.equal(asked, 1);
  await recall.predict("b", at(1), options);
  await recall.predict("a", at(1), { ...options, many: false });
  assert.equal(asked, 3);
  for (let x = 2; x < 7; x++) await recall.predict("a", at(x), options);
  await recall.predict("a", at(1), options);
  assert.equal(asked, 9); // so long ago is forgotten

  const failing = new Recall(() => (asked++ % 2 ? Promise.resolve([]) : Promise.reject(new Error("away"))));
  asked = 0;
  await assert.rejects(failing.predict("a", at(1), options));
  assert.deepEqual(await failing.predict("a", at(1), options), []);
});

function pattern(count: number, which: number, divisor = 1): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.fround(Math.sin(i * (0.37 + 0.11 * which) + ((i * i) % 97) / 13)) / divisor);
}

for (const golden of goldens.decoders) test(`the decoder of our own answers as the library's, in a frame of ${golden.frame}`, () => {
  const { frame, weights, maps, step, answers } = golden;
  const size = (shape: number[]): number => shape.reduce((product, side) => product * side, 1);
  const decoder = new CompactDecoder((name) => {
    const shape: number[] = weights[name];
    return pattern(size(shape), Object.keys(weights).indexOf(name), Math.sqrt(Math.max(1, Math.floor(size(shape) / shape[0]!))));
  });
  const images = ["one", "another"].map((image) => (name: string) => {
    const [channels, h, w] = maps[name];
    const which = Object.keys(maps).indexOf(name) + (image === "one" ? 0 : 1);
    return { channels, h, w, values: pattern(channels * h * w, which, name.startsWith("key") ? 4 : 1) };
  });
  for (const { points, box = null, mask, logits, scores } of answers) {
    const prompt = { points, box, mask: mask ? pattern((frame[0] * frame[1]) / 4, 0).map((value) => 6 * value) : null, frame };
    decoder.decode(images[1]!, prompt); // of which nothing may stay
    const found = decoder.decode(images[0]!, prompt);
    const wanted = floats(logits);
    wanted.forEach((value, i) => close(found.logits[i * step]!, value));
    floats(scores).forEach((value, i) => close(found.scores[i]!, value));
  }
});

test("images of many sizes need no more memory than the largest, and leave nothing to each other", (t) => {
  const { weights, maps, frame } = goldens.decoders[0];
  const size = (shape: number[]): number => shape.reduce((product, side) => product * side, 1);
  const make = (): CompactDecoder => new CompactDecoder((name) => pattern(size(weights[name]), Object.keys(weights).indexOf(name), 4));
  const imageOf = ([height, width]: [number, number]) => (name: string) => {
    const [channels, h, w] = maps[name];
    const [own, beside] = [(h * height) / frame[0], (w * width) / frame[1]];
    return { channels, h: own, w: beside, values: pattern(channels * own * beside, Object.keys(maps).indexOf(name), 4) };
  };
  const prompt = (size: [number, number]) => ({ points: [[9, 9, 1] as const], box: null, mask: null, frame: size });
  const frames: [number, number][] = [[32, 32], [96, 32], [32, 160], [64, 64], [96, 128]];
  const decoder = make();
  decoder.decode(imageOf(frame), prompt(frame)); // the largest
  const grow = t.mock.method(WebAssembly.Memory.prototype, "grow");
  for (const size of frames) {
    const [found, alone] = [decoder, make()].map((one) => one.decode(imageOf(size), prompt(size)));
    assert.deepEqual(found, alone);
    assert.ok(alone!.logits.every(Number.isFinite));
  }
  const growing = new Set(grow.mock.calls.map((call) => call.this));
  assert.equal(growing.size, frames.length); // of the others alone
});

function close(found: number, wanted: number): void {
  assert.ok(Math.abs(found - wanted) < 1e-4, `${found} instead of ${wanted}`);
}
