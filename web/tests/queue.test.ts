import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../src/api/client.ts";
import { Clock } from "../src/label/clock.ts";
import { LabelApi, type LabelPicture } from "../src/label/label_api.ts";
import { Queue, followChanges } from "../src/label/queue.ts";
import { App } from "../src/store/app.ts";
import { Backup } from "../src/store/backup.ts";
import { addThings, newThing, thingsOf } from "../src/store/project.ts";
import * as runs from "../src/masks/runs.ts";

globalThis.requestAnimationFrame = (run) => Number(setTimeout(run, 0));

const square = runs.encode(Uint8Array.from({ length: 16 }, (_, i) => Number(i < 4)));
const IDS = ["a", "b", "c"].map((one) => one.repeat(64));
const pictureOf = (id: string): LabelPicture => ({ id, name: `${id[0]!}.png`, w: 4, h: 4, masks: 0, revision: 0, error: null, state: "open", number: 1 });

/** A server of three images; what it has been asked is kept, and others may take images. */
class Server {
  readonly asked: [path: string, json: Record<string, unknown>][] = [];
  readonly leased = new Map<string, string>(); // an image, and who has it
  readonly waits: Promise<void>[] = []; // of leases, each of the next one
  readonly revisions = new Map<string, number>();
  things: unknown[] = [];
  classes: { id: number; name: string; color: string; masks: number }[] = [];

  async answer(path: string, init: { body?: string }): Promise<Response> {
    const json = JSON.parse(init.body ?? "{}") as Record<string, unknown>;
    this.asked.push([path, json]);
    const [status, body] = await this.find(path.replace("/v1/label/", ""), json);
    return new Response(JSON.stringify(body), { status });
  }

  private async find(path: string, json: Record<string, unknown>): Promise<[number, unknown]> {
    const taken = (id: string): [number, unknown] | null => {
      const who = this.leased.get(id);
      return who ? [409, { error: { code: "leased", message: `${who} has it` }, person: who }] : null;
    };
    const image = path.split("/")[1] ?? "";
    if (path === "status") {
      const images = json["images"] as string[];
      return [200, { name: "p", model: "m", words: [], status: { classes: this.classes, leases: [] }, pictures: images.map((id) => ({ ...pictureOf(id), revision: this.revision(id) })) }];
    }
    if (path === "next") return [200, { lease: this.lease(IDS[1]!), audited: [] }];
    if (path === "lease") {
      await this.waits.shift();
      return taken(String(json["image"])) ?? [200, { lease: this.lease(String(json["image"])) }];
    }
    if (path === "finish") return [200, { picture: { ...pictureOf(String(json["image"])), state: "done" } }];
    if (path.endsWith("/masks")) return json["things"] ? (taken(image) ?? [200, { revision: this.save(image), ids: ["m1"] }]) : [200, { revision: this.revision(image), things: this.things }];
    if (path === "renew") return [422, { error: { code: "input", message: "lost" } }];
    return [200, { classes: [], released: true }];
  }

  private revision(id: string): number {
    return this.revisions.get(id) ?? 0;
  }

  private save(id: string): number {
    this.revisions.set(id, this.revision(id) + 1);
    return this.revision(id);
  }

  private lease(id: string): unknown {
    return { token: `of ${id[0]!}`, seconds: 300, person: "ada", picture: pictureOf(id) };
  }
}

async function opened(): Promise<{ app: App; queue: Queue; server: Server; said: string[] }> {
  const server = new Server();
  const api = new LabelApi(new Client("", null, ((path: string, init: { body?: string }) => server.answer(path, init)) as unknown as typeof fetch));
  api.person = "ada";
  const app = new App(api);
  const said: string[] = [];
  app.notify = (text) => said.push(text);
  const queue = new Queue(app, api, new Clock(() => 0));
  app.begin(await api.folder());
  await queue.begin(IDS[0]!);
  return { app, queue, server, said };
}

function draw(app: App): void {
  app.commit(addThings(app.project, app.ui.image!, [newThing({ counts: square })]), "brush");
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 4000; i++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error("it did not become so");
}

test("whoever has lost an image can go on with others", async () => {
  const { app, queue, server, said } = await opened();
  server.leased.set(IDS[0]!, "bob");
  draw(app); // which bob's lease refuses
  const ended = queue.accept();
  await until(() => app.saveState.kind === "retrying");
  await queue.renew();
  await ended; // although the mask is not saved
  assert.deepEqual([queue.lease, queue.owner, queue.isMoving], [null, "bob", false]);
  assert.ok(said.some((one) => one.includes("bob")));
  await queue.next();
  draw(app);
  await queue.accept();
  assert.ok(server.asked.some(([path, json]) => path.endsWith("/finish") && json["image"] === IDS[1]));
  assert.ok(app.saver.isDirty(IDS[0]!));
  server.leased.clear();
  app.saver.now();
  await until(() => app.saveState.kind === "saved"); // as soon as bob is gone
});

test("one image is opened at a time, or leases of others would stay", async () => {
  const { app, queue, server } = await opened();
  app.pictures = IDS.map(pictureOf);
  let go = (): void => undefined;
  server.waits.push(new Promise((resolve) => (go = resolve)));
  const first = app.open(IDS[1]!);
  await until(() => server.asked.filter(([path]) => path.endsWith("/lease")).length === 2);
  await app.open(IDS[2]!);
  go();
  await first;
  assert.equal(app.ui.image, IDS[1]);
  assert.equal(queue.lease?.picture.id, IDS[1]);
  assert.equal(server.asked.filter(([path]) => path.endsWith("/lease")).length, 2);
});

test("an image of somebody else is looked at as long as one likes", async () => {
  const { app, queue, server } = await opened();
  await queue.leave();
  queue.isEmpty = true;
  server.leased.set(IDS[2]!, "bob");
  (app.api as LabelApi).saw(pictureOf(IDS[2]!));
  await app.refresh();
  await app.open(IDS[2]!);
  await queue.tick();
  assert.deepEqual([app.ui.image, queue.owner], [IDS[2], "bob"]);
});

test("a conflict on an image that is not one's own is not half solved", async () => {
  const { app, queue, server, said } = await opened();
  const body = { error: { code: "conflict", message: "newer" }, current: { revision: 7, things: [] } };
  const answer = server.answer.bind(server);
  server.answer = (path, init) => (path.endsWith("/masks") && init.body ? Promise.resolve(new Response(JSON.stringify(body), { status: 409 })) : answer(path, init));
  draw(app);
  await until(() => app.saveState.kind === "conflict");
  queue.lease = null;
  app.resolve(IDS[0]!, "both");
  assert.equal(app.saveState.kind, "conflict"); // as before: there is nothing lost
  assert.equal(said.length, 1);
  app.resolve(IDS[0]!, "theirs");
  assert.deepEqual(thingsOf(app.project, IDS[0]!), []);
  assert.equal(app.saveState.kind, "saved");
});

test("what is not saved is kept by the browser, each image until it is", async () => {
  const { app, queue, server } = await opened();
  const kept = new Map<string, unknown>();
  const put = (key: string, value: unknown): Promise<void> => Promise.resolve(void kept.set(key, value));
  new Backup(app, { get: () => Promise.resolve(null), all: () => Promise.resolve([]), put, drop: (key) => Promise.resolve(void kept.delete(key)) });
  server.leased.set(IDS[0]!, "bob").set(IDS[1]!, "bob");
  draw(app);
  await until(() => kept.size === 1);
  await queue.next();
  draw(app);
  await until(() => kept.size === 2);
  server.leased.delete(IDS[1]!);
  app.saver.now();
  await until(() => !app.saver.isDirty(IDS[1]!));
  await until(() => kept.size === 1);
  assert.deepEqual([...kept.keys()], ["p/a.png"]);
  server.leased.clear();
  app.saver.now();
  await until(() => kept.size === 0);
});

test("what others do on their images is no step of one's own", async () => {
  const { app, queue, server } = await opened();
  app.keeper = { rename: () => Promise.resolve() };
  draw(app);
  await queue.skip();
  draw(app);
  await app.saved(AbortSignal.timeout(5000));
  server.revisions.set(IDS[0]!, 9); // bob has it by now, and has deleted the mask
  server.classes = [{ id: 1, name: "cup", color: "#111111", masks: 0 }];
  await app.refresh();
  assert.deepEqual(thingsOf(app.project, IDS[0]!), []);
  assert.deepEqual([app.things.length, app.project.classes.length], [1, 1]);
  app.undo();
  assert.deepEqual([app.ui.image, app.things.length, app.project.classes.length], [IDS[1], 0, 1]);
  app.undo(); // there is no more of ours
  assert.equal(app.ui.image, IDS[1]);
});

test("masks that are read anew are still as the model made them", async () => {
  const { app, queue, server } = await opened();
  const mask = { rle: { size: [4, 4], counts: runs.toText(square) }, label: null, score: 0.9, stability: null };
  const known = { mask: 1, revision: 1, stage: "semi-automatic", person: null, version: "bundled" };
  server.things = [{ thing: "m1", ...mask, points: [], labels: [], prompt_box: null, meta: {}, review: "pending", known }];
  followChanges(app, queue, new Clock(() => 0));
  await queue.skip();
  for (let i = 0; i < 2; i++) {
    await new Promise((resolve) => setTimeout(resolve, 5)); // for the next frame
    server.revisions.set(IDS[1]!, 7 + i);
    await app.refresh();
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual([...queue.changed], []);
  await queue.accept();
  const saved = server.asked.find(([path, json]) => path.includes(IDS[1]!) && json["things"]);
  assert.deepEqual((saved![1]["things"] as { review: string }[]).map((one) => one.review), ["accepted"]);
});

test("a long day's images are not asked for all at once", async () => {
  const { app, server } = await opened();
  const api = app.api as LabelApi;
  for (let i = 0; i < 1200; i++) api.saw({ ...pictureOf(IDS[0]!), id: String(i).padStart(64, "0") });
  await api.folder();
  const images = server.asked.at(-1)![1]["images"] as string[];
  assert.ok(images.length <= 1000 && images.at(-1)!.endsWith("1199"), `${images.length}`); // what the server takes
});

test("a lease that was renewed too late does not take the place of the next one", async () => {
  const { queue, server } = await opened();
  let go = (): void => undefined;
  server.waits.push(new Promise((resolve) => (go = resolve)));
  const renewed = queue.renew(); // which the server hears of after the end
  await until(() => server.asked.filter(([path]) => path.endsWith("/lease")).length === 2);
  await queue.accept();
  assert.equal(queue.lease?.picture.id, IDS[1]);
  go();
  await renewed;
  assert.equal(queue.lease?.picture.id, IDS[1]);
  assert.deepEqual(server.asked.filter(([path]) => path.endsWith("/release")).map(([, json]) => json["token"]), ["of a"]);
});
