/** Who finds masks: a server, or later the page itself. */

import type { Answer, Logits, Prompt } from "../store/project.ts";

export interface Decoder {
  /** Makes an image ready, which takes a while the first time. */
  prepare(image: string): Promise<void>;
  /** Answers a prompt: several masks if it may mean several things, best first. */
  predict(image: string, prompt: Prompt, options: PredictOptions): Promise<Answer[]>;
  everything(image: string, signal: AbortSignal): Promise<Answer[]>;
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
