/** Who finds masks: a server, a notebook's kernel, or the page itself. */

import type { Answer, Logits, Prompt } from "../store/project.ts";

/** Told how many of how many steps are done, by who knows it. */
export type Progress = (done: number, total: number) => void;

export interface Decoder {
  /** Makes an image ready, which takes a while the first time. */
  prepare(image: string): Promise<void>;
  /** Answers a prompt: several masks if it may mean several things, best first. */
  predict(image: string, prompt: Prompt, options: PredictOptions): Promise<Answer[]>;
  everything(image: string, signal: AbortSignal, progress: Progress): Promise<Answer[]>;
  words(image: string, text: string, signal: AbortSignal): Promise<Answer[]>;
  subject(image: string, signal: AbortSignal): Promise<Answer[]>;
}

export interface PredictOptions {
  readonly many: boolean;
  /** What was answered before, to improve. */
  readonly logits: Logits | null;
  /** Whether the answers should come with logits. */
  readonly keepLogits: boolean;
}
