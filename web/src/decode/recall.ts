/** Answers to the latest prompts, so that a click on what was hovered over needs no second decoding. */

import type { Answer, Prompt } from "../store/project.ts";
import type { PredictOptions } from "./decoder.ts";

const KEPT = 4;

export class Recall {
  private readonly latest = new Map<string, Promise<Answer[]>>();

  constructor(private readonly work: (image: string, prompt: Prompt, options: PredictOptions) => Promise<Answer[]>) {}

  predict(image: string, prompt: Prompt, options: PredictOptions): Promise<Answer[]> {
    if (prompt.mask || options.logits) return this.work(image, prompt, options);
    const key = JSON.stringify([image, prompt.points, prompt.box, options.many]);
    let answers = this.latest.get(key);
    if (!answers) {
      answers = this.work(image, prompt, { ...options, keepLogits: true });
      answers.catch(() => this.latest.delete(key));
    }
    this.latest.delete(key);
    this.latest.set(key, answers);
    for (const old of [...this.latest.keys()].slice(0, -KEPT)) this.latest.delete(old);
    return answers;
  }
}
