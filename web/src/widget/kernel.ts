/** Questions to the kernel of a notebook, over the messages of a widget. */

import { Away, Refused } from "../api/client.ts";
import { say } from "../words/words.ts";

/** What anywidget gives: a model that carries messages. */
export interface WidgetModel {
  get(name: string): unknown;
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]): void;
  on(name: string, listener: (...given: never[]) => void): void;
  off(name: string, listener: (...given: never[]) => void): void;
}

interface Reply {
  readonly to: string;
  readonly result?: unknown;
  readonly error?: { readonly code: string; readonly message: string; readonly status: number; readonly current?: unknown };
}

interface Waiting {
  done(result: unknown, buffers: readonly DataView[]): void;
  failed(error: unknown): void;
}

export class Kernel {
  private readonly waiting = new Map<string, Waiting>();
  private asked = 0;
  private readonly view = Math.random().toString(36).slice(2); // several views share the messages

  constructor(private readonly model: WidgetModel) {
    model.on("msg:custom", this.hear);
  }

  close(): void {
    this.model.off("msg:custom", this.hear);
    for (const one of this.waiting.values()) one.failed(new Away(say("error.away")));
    this.waiting.clear();
  }

  /** Asks, and gives the answer with the bytes beside it. */
  ask<Result>(what: string, words: Record<string, unknown> = {}, signal?: AbortSignal): Promise<{ result: Result; buffers: readonly DataView[] }> {
    const id = `${this.view}-${this.asked++}`;
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      // The kernel does one thing after the other: what is given up is done all the same.
      signal?.addEventListener("abort", () => {
        this.waiting.delete(id);
        reject(signal.reason as Error);
      });
      this.waiting.set(id, { done: (result, buffers) => resolve({ result: result as Result, buffers }), failed: reject });
      this.model.send({ id, ask: what, words });
    });
  }

  private readonly hear = (reply: Reply, buffers: readonly DataView[] = []): void => {
    const one = this.waiting.get(reply.to);
    if (!one) return;
    this.waiting.delete(reply.to);
    if (reply.error) one.failed(new Refused(reply.error.status, reply.error.code, reply.error.message, { current: reply.error.current }));
    else one.done(reply.result, buffers);
  };
}
