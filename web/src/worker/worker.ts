/** The page's worker: encodes images and answers prompts, one after the other. */

import type { Message, Reply, Request } from "../decode/engine.ts";
import type { Answer } from "../store/project.ts";
import { type Embedding, encode, received } from "./embedding.ts";
import { Model } from "./model.ts";
import { predict } from "./predict.ts";

const KEPT = 4; // embeddings, some 5 MB each

class Desk {
  private model: Promise<Model> | null = null;
  private readonly embeddings = new Map<string, Embedding>();
  private readonly cancelled = new Set<number>();

  async answer(id: number, request: Request): Promise<Omit<Reply, "id">> {
    switch (request.kind) {
      case "start":
        this.model = Model.load(request.files, request.runtime, request.threads);
        // One after the other: the runtime cannot open two graphs at once.
        for (const role of request.roles) await (await this.model).graph(role);
        return {};
      case "embed":
        return { forgot: this.keep(request.image, await encode(await this.model!, request.raw)) };
      case "embedding":
        return { forgot: this.keep(request.image, received(await this.model!, request.data)) };
      case "predict":
        return { answers: await predict(await this.model!, this.find(request.image), request.prompt, request.options) };
      case "search":
        return { answers: await this.search(id, request) };
      case "cancel":
        this.cancelled.add(request.request);
        return {};
    }
  }

  private async search(id: number, { search, image }: Request & { kind: "search" }): Promise<Answer[]> {
    void [id, image];
    throw new Error(`${search} is not known here`);
  }

  private find(image: string): Embedding {
    const found = this.embeddings.get(image);
    if (!found) throw new Error("the image has to be read again");
    this.embeddings.delete(image);
    this.embeddings.set(image, found); // the latest to be used
    return found;
  }

  /** Keeps an embedding; names those that had to go for it. */
  private keep(image: string, embedding: Embedding): string[] {
    this.embeddings.delete(image);
    this.embeddings.set(image, embedding);
    const gone = [...this.embeddings.keys()].slice(0, -KEPT);
    for (const one of gone) this.embeddings.delete(one);
    return gone;
  }
}

const desk = new Desk();
let last: Promise<void> = Promise.resolve();

async function reply({ id, ...request }: Message): Promise<void> {
  const since = performance.now();
  let said: Reply;
  try {
    said = { id, ...(await desk.answer(id, request as Request)), took: performance.now() - since };
  } catch (error) {
    said = { id, error: error instanceof Error ? error.message : String(error) };
  }
  if (id < 0) return;
  const buffers = (said.answers ?? []).flatMap(({ counts, logits }) => [
    counts.buffer,
    ...(logits && typeof logits.data !== "string" ? [logits.data.buffer] : []),
  ]);
  self.postMessage(said, { transfer: buffers as ArrayBuffer[] });
}

self.onmessage = ({ data }: MessageEvent<Message>): void => {
  if (data.kind === "cancel") void reply(data); // not in turn, or it would come too late
  else last = last.then(() => reply(data));
};
