/** Masks without any server: a worker of the page encodes images and answers prompts. */

import type { Answer, Prompt } from "../store/project.ts";
import type { Decoder, PredictOptions, Progress } from "./decoder.ts";
import type { Engine } from "./engine.ts";
import { Recall } from "./recall.ts";
import { SecondWorker } from "./second.ts";

/** An image as the browser has it: RGBA, row by row, not premultiplied, orientation applied. */
export interface RawImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray;
}

export class LocalDecoder implements Decoder {
  private readonly ready = new Map<string, Promise<void>>();
  private readonly recall: Recall;
  private readonly second: SecondWorker | null;

  /**
   * @param engine The worker with the model's files, see `Engine.start`.
   * @param pixels Reads an image; it is asked again when the worker has let the image go.
   * @param decoding Starts a second worker for prompts; null: the first one answers them, too.
   */
  constructor(
    private readonly engine: Engine,
    private readonly pixels: (image: string) => Promise<RawImage>,
    decoding: (() => Promise<Engine>) | null = null,
  ) {
    engine.forgot = (image) => this.ready.delete(image);
    this.second = decoding && new SecondWorker(engine, decoding);
    this.recall = new Recall((image, prompt, options) => this.answer(image, prompt, options));
  }

  prepare(image: string): Promise<void> {
    let making = this.ready.get(image);
    if (!making) {
      making = this.pixels(image).then((raw) => this.engine.embed(image, raw));
      making.then(() => this.second?.take(image), () => this.ready.delete(image));
      this.ready.set(image, making);
    }
    return making;
  }

  predict(image: string, prompt: Prompt, options: PredictOptions): Promise<Answer[]> {
    return this.recall.predict(image, prompt, options);
  }

  private async answer(image: string, prompt: Prompt, options: PredictOptions): Promise<Answer[]> {
    const answers = await this.second?.predict(image, prompt, options);
    if (answers) return answers;
    await this.prepare(image); // again, if the worker had to let it go
    void this.second?.take(image); // again, if the second one had to
    return this.engine.predict(image, prompt, options);
  }

  async everything(image: string, signal: AbortSignal, progress: Progress): Promise<Answer[]> {
    await this.prepare(image);
    return this.engine.search("everything", image, "", signal, progress);
  }

  async words(image: string, text: string, signal: AbortSignal): Promise<Answer[]> {
    await this.prepare(image);
    return this.engine.search("words", image, text, signal);
  }

  async subject(image: string, signal: AbortSignal): Promise<Answer[]> {
    await this.prepare(image);
    return this.engine.search("subject", image, "", signal);
  }
}
