/** Masks from the server that the page came from. */

import { type Client, Refused } from "../api/client.ts";
import type { Picture } from "../api/api.ts";
import { type MaskRecord, answerOf, promptWords } from "../api/studio_api.ts";
import type { Answer, Prompt } from "../store/project.ts";
import type { Decoder, PredictOptions } from "./decoder.ts";
import { textOf } from "./logits.ts";

interface MasksAnswer {
  readonly masks: readonly MaskRecord[];
}

export class ServerDecoder implements Decoder {
  private readonly sessions = new Map<string, Promise<string>>();

  constructor(
    private readonly client: Client,
    private readonly picture: (id: string) => Picture,
  ) {}

  async prepare(image: string): Promise<void> {
    await this.session(image);
  }

  /** What the server made of an image, for a decoder that runs elsewhere: safetensors. */
  async embedding(image: string): Promise<ArrayBuffer> {
    return this.withSession(image, async (session) => {
      const response = await this.client.response(`/v1/sessions/${session}/embedding?dtype=int8`, {});
      return response.arrayBuffer();
    });
  }

  predict(image: string, prompt: Prompt, options: PredictOptions): Promise<Answer[]> {
    const { h, w } = this.picture(image);
    const words = promptWords(options.logits ? { ...prompt, mask: null } : prompt, [h, w]);
    return this.ask(image, "/v1/predict", {
      ...words,
      ...(options.logits ? { mask_logits: textOf(options.logits) } : {}),
      multimask: options.many,
      logits: options.keepLogits,
    });
  }

  everything(image: string, signal: AbortSignal): Promise<Answer[]> {
    return this.ask(image, "/v1/everything", {}, signal);
  }

  words(image: string, text: string, signal: AbortSignal): Promise<Answer[]> {
    return this.ask(image, "/v1/predict", { text }, signal);
  }

  subject(image: string, signal: AbortSignal): Promise<Answer[]> {
    return this.ask(image, "/v1/subject", {}, signal);
  }

  private ask(image: string, path: string, words: Record<string, unknown>, signal?: AbortSignal): Promise<Answer[]> {
    return this.withSession(image, async (session) => {
      const json = { session, ...words };
      const answer = await this.client.json<MasksAnswer>(path, signal ? { json, signal } : { json });
      return answer.masks.map(answerOf);
    });
  }

  private async withSession<Result>(image: string, work: (session: string) => Promise<Result>): Promise<Result> {
    for (let again = true; ; again = false) {
      try {
        return await work(await this.session(image));
      } catch (error) {
        // The server had to let the image go, or was started again.
        if (!again || !(error instanceof Refused) || error.code !== "no_session") throw error;
        this.sessions.delete(image);
      }
    }
  }

  private session(image: string): Promise<string> {
    let session = this.sessions.get(image);
    if (!session) {
      session = this.client
        .json<{ session: string }>(`/v1/studio/pictures/${image}/embed`, { method: "POST" })
        .then((answer) => answer.session);
      session.catch(() => this.sessions.delete(image));
      this.sessions.set(image, session);
    }
    return session;
  }
}
