/** Requests to the server that the page came from. */

import { Problem } from "../problem.ts";
import { say } from "../words/words.ts";

/** The server said no: a status, the name of the kind of error, and a sentence. */
export class Refused extends Problem {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly body: unknown,
  ) {
    super(message);
  }
}

/** The server did not answer at all, or is going down or busy: it is worth trying again. */
export class Away extends Problem {}

export class Client {
  constructor(
    private readonly base: string,
    private readonly token: string | null,
    private readonly send: typeof fetch = (input, init) => fetch(input, init),
  ) {}

  async json<Result>(path: string, options: Options = {}): Promise<Result> {
    const response = await this.response(path, options);
    try {
      return (await response.json()) as Result;
    } catch (error) {
      throw isAbort(error) ? error : new Away(say("error.away"));
    }
  }

  async blob(path: string, options: Options = {}): Promise<Blob> {
    const response = await this.response(path, options);
    try {
      return await response.blob();
    } catch (error) {
      throw isAbort(error) ? error : new Away(say("error.away"));
    }
  }

  async response(path: string, { method, json, body, signal, keepalive }: Options): Promise<Response> {
    const headers: Record<string, string> = {};
    if (this.token) headers["Authorization"] = `Bearer ${this.token}`;
    if (json !== undefined) headers["Content-Type"] = "application/json";
    else if (body) headers["Content-Type"] = "application/octet-stream";
    const sent = json !== undefined ? JSON.stringify(json) : (body ?? null);
    let response: Response;
    try {
      response = await this.send(this.base + path, {
        method: method ?? (sent === null ? "GET" : "POST"),
        headers,
        body: sent,
        signal: signal ?? null,
        keepalive: keepalive ?? false,
        cache: "default",
      });
    } catch (error) {
      throw isAbort(error) ? error : new Away(say("error.away"));
    }
    if (response.ok) return response;
    throw await problemOf(response);
  }
}

export interface Options {
  method?: string;
  json?: unknown;
  body?: Blob | ArrayBuffer;
  signal?: AbortSignal;
  keepalive?: boolean;
}

async function problemOf(response: Response): Promise<Error> {
  let body: unknown = null;
  try {
    body = await response.json();
  } catch {
    // A proxy's page, or nothing: the status has to do.
  }
  const error = (body as { error?: { code?: string; message?: string } } | null)?.error;
  const message = error?.message ?? `${response.status} ${response.statusText}`.trim();
  const code = error?.code ?? "";
  if (response.status === 401) return new Refused(401, code, say("error.token"), body);
  if ([408, 429, 502, 503].includes(response.status) && code !== "no_weights") return new Away(message);
  return new Refused(response.status, code, message, body);
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** Says in one line what went wrong. */
export function describe(error: unknown): string {
  if (error instanceof Problem) return error.message;
  return say("error.unexpected", { error: error instanceof Error ? error.message : String(error) });
}
