/** A second worker that only decodes, beside the one that encodes: a click waits for no image, and for no threads. */

import type { Answer, Prompt } from "../store/project.ts";
import type { PredictOptions } from "./decoder.ts";
import type { Engine } from "./engine.ts";

export class SecondWorker {
  private engine: Engine | null = null;
  private opening: Promise<void> | null = null;
  private readonly here = new Set<string>();

  /**
   * @param first Has the embeddings, and answers for whatever is not here yet.
   * @param open Starts the second worker; it may fail, such as where memory is short.
   */
  constructor(
    private readonly first: Engine,
    private readonly open: () => Promise<Engine>,
  ) {}

  /** Takes over an image that the first one has encoded; the second is opened for the first of them. */
  async take(image: string): Promise<void> {
    try {
      await (this.opening ??= this.begin());
      if (!this.engine) return;
      const features = await this.first.features(image);
      await this.engine.handed(image, features);
      this.here.add(image);
    } catch {
      // The first one answers; it will say what is wrong, if anything is.
    }
  }

  /** Answers; the first worker does, while the second does not have the image. */
  async predict(image: string, prompt: Prompt, options: PredictOptions): Promise<Answer[]> {
    if (!this.engine || !this.here.has(image)) return this.first.predict(image, prompt, options);
    try {
      return await this.engine.predict(image, prompt, options);
    } catch {
      return this.first.predict(image, prompt, options);
    }
  }

  private async begin(): Promise<void> {
    const engine = await this.open();
    engine.forgot = (image) => void this.here.delete(image);
    engine.failed = () => {
      this.engine = null;
      this.here.clear();
    };
    this.engine = engine;
  }
}
