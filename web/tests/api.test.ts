import assert from "node:assert/strict";
import { test } from "node:test";
import { Away, Client, Refused } from "../src/api/client.ts";
import type { Picture } from "../src/api/api.ts";
import { StudioApi, promptWords, recordOf, thingOf } from "../src/api/studio_api.ts";
import { ServerDecoder } from "../src/decode/server.ts";
import * as runs from "../src/masks/runs.ts";
import { newThing } from "../src/store/project.ts";
import { Conflict } from "../src/store/saving.ts";
import { en } from "../src/words/en.ts";
import { preferred, say, speak } from "../src/words/words.ts";
import { zh } from "../src/words/zh.ts";

type Answer = { status?: number; body?: unknown } | Error;

function server(...answers: Answer[]): { client: Client; asked: { path: string; init: RequestInit }[] } {
  const asked: { path: string; init: RequestInit }[] = [];
  const send = (path: unknown, init: unknown): Promise<Response> => {
    asked.push({ path: String(path), init: init as RequestInit });
    const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
    if (answer instanceof Error) return Promise.reject(answer);
    return Promise.resolve(new Response(JSON.stringify(answer.body ?? {}), { status: answer.status ?? 200 }));
  };
  return { client: new Client("", "0123456789abcdef", send as typeof fetch), asked };
}

const picture: Picture = { id: "ab", name: "a.jpg", w: 4, h: 4, masks: 0, revision: 0, error: null };
const counts = runs.encode(Uint8Array.from({ length: 16 }, (_, i) => Number(i > 3 && i < 9)));

test("the token goes in the header, never in the address", async () => {
  const { client, asked } = server({ body: { pictures: [] } });
  await new StudioApi(client).folder();
  const headers = asked[0]!.init.headers as Record<string, string>;
  assert.equal(headers["Authorization"], "Bearer 0123456789abcdef");
  assert.ok(!asked[0]!.path.includes("0123456789abcdef"));
});

test("what the server says no to is told by its own sentence", async () => {
  const { client } = server({ status: 422, body: { error: { code: "input", message: "expected a dog" } } });
  await assert.rejects(client.json("/x"), (error: Refused) => error.status === 422 && error.message === "expected a dog");
});

test("a server that is gone or busy is worth asking again", async () => {
  for (const answer of [new TypeError("fetch failed"), { status: 503 }, { status: 429 }]) {
    await assert.rejects(server(answer).client.json("/x"), Away);
  }
  await assert.rejects(server({ status: 500, body: {} }).client.json("/x"), Refused);
  const missing = { status: 503, body: { error: { code: "no_weights", message: "expected weights" } } };
  await assert.rejects(server(missing).client.json("/x"), Refused);
});

test("things go to the store and come back", () => {
  const thing = newThing({ counts, label: "cup", score: 0.5, prompt: { points: [[1, 2, 0]], box: [0, 0, 3, 3], mask: null }, meta: { iscrowd: 0 } });
  const record = JSON.parse(JSON.stringify(recordOf(thing, picture)));
  assert.deepEqual(record.rle.size, [4, 4]);
  const back = thingOf(record);
  assert.deepEqual({ ...back, prompt: null }, { ...thing, prompt: null });
  assert.deepEqual(back.prompt, { points: [[1, 2, 0]], box: [0, 0, 3, 3], mask: counts });
});

test("a prompt that is not answered yet is not stored as that of the mask", () => {
  const thing = newThing({ counts, prompt: { points: [[1, 2, 1]], box: null, mask: null }, waiting: true });
  assert.deepEqual(recordOf(thing, picture).points, []);
});

test("things without a mask are not stored", async () => {
  const { client, asked } = server({ body: { revision: 3 } });
  const api = new StudioApi(client);
  assert.equal(await api.putThings(picture, [newThing({ counts }), newThing({})], 2), 3);
  const sent = JSON.parse(String(asked[0]!.init.body));
  assert.deepEqual([sent.revision, sent.things.length, asked[0]!.init.method], [2, 1, "PUT"]);
});

test("another revision is a conflict with what is there", async () => {
  const theirs = recordOf(newThing({ counts, label: "dog" }), picture);
  const { client } = server({ status: 409, body: { error: { code: "conflict", message: "" }, current: { revision: 7, things: [theirs] } } });
  await assert.rejects(new StudioApi(client).putThings(picture, [], 2), (error: Conflict<{ label: string }[]>) => {
    return error instanceof Conflict && error.revision === 7 && error.theirs[0]!.label === "dog";
  });
  const classes = server({ status: 409, body: { current: { revision: 1, classes: [{ name: "a", color: "#000000" }] } } });
  await assert.rejects(new StudioApi(classes.client).putClasses([], 0), Conflict);
});

test("prompts are said in the API's words", () => {
  const prompt = { points: [[1, 2, 1], [3, 3, 0]] as const, box: null, mask: counts };
  assert.deepEqual(promptWords(prompt, [4, 4]), {
    points: [[1, 2], [3, 3]], labels: [1, 0], mask: { size: [4, 4], counts: runs.toText(counts) },
  });
});

test("an image that the server had to let go is embedded again", async () => {
  const gone = { status: 404, body: { error: { code: "no_session", message: "gone" } } };
  const found = { body: { masks: [{ rle: { size: [4, 4], counts: runs.toText(counts) }, score: 0.9, stability: null, label: null }] } };
  const { client, asked } = server({ body: { session: "s1" } }, gone, { body: { session: "s2" } }, found);
  const decoder = new ServerDecoder(client, () => picture);
  const prompt = { points: [[1, 1, 1]] as const, box: null, mask: null };
  const answers = await decoder.predict("ab", prompt, { many: true, logits: null, keepLogits: false });
  assert.deepEqual(answers[0]!.counts, counts);
  assert.deepEqual(asked.map((one) => one.path), [
    "/v1/studio/pictures/ab/embed", "/v1/predict", "/v1/studio/pictures/ab/embed", "/v1/predict",
  ]);
  assert.equal(JSON.parse(String(asked[3]!.init.body)).session, "s2");
});

test("an image is embedded once, and again only after it failed", async () => {
  const { client, asked } = server(new TypeError("away"), { body: { session: "s" } });
  const decoder = new ServerDecoder(client, () => picture);
  await assert.rejects(decoder.prepare("ab"), Away);
  await Promise.all([decoder.prepare("ab"), decoder.prepare("ab")]);
  assert.equal(asked.length, 2);
});

test("both languages say everything, with the same parts", () => {
  for (const [key, text] of Object.entries(en)) {
    const other = zh[key as keyof typeof en];
    const parts = (one: string): string[] => [...one.matchAll(/\{\w+\}/g)].map(String).sort();
    assert.ok(other, key);
    assert.deepEqual(parts(other), parts(text), key);
  }
  assert.equal(preferred(["fr-FR", "zh-TW", "en"]), "zh");
  assert.equal(preferred(["de"]), "en");
  speak("zh");
  assert.equal(say("bar.position", { at: 2, count: 5 }), "第 2 张，共 5 张");
  speak("en");
  assert.equal(say("panel.unnamed", { number: 3 }), "Mask 3");
});
