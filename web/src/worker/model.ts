/** The model's files, and its graphs in ONNX Runtime's web build. */

import * as ort from "onnxruntime-web/wasm";
import type { Files } from "../decode/engine.ts";
import { CompactDecoder } from "./compact/decoder.ts";
import type { Preprocessing } from "./frame.ts";
import { inflated, unpackWeights, weightsAt } from "./tensors.ts";
import type { Vocabulary } from "./words.ts";

export type Feeds = Record<string, ort.Tensor>;

/** What `model.json` says: see `anymask.export.browser`. */
export interface About {
  readonly format: string;
  readonly version: number;
  readonly variant: {
    readonly name: string;
    readonly family: string;
    readonly preprocessing: Preprocessing;
    readonly capabilities: readonly string[];
    readonly never_alone: readonly string[];
    readonly always_three: boolean;
    readonly generate: GenerateConfig;
  };
  /** Names of the encoder's outputs, by those of the features. */
  readonly features: Readonly<Record<string, string>>;
  readonly mask_hw: readonly [number, number] | null;
  readonly mask_stride: number;
  readonly raw_image: boolean;
  /** Whether a box comes before the points, and a padding point after it: SAM 2's order. */
  readonly box_first: boolean;
  /** Of a model with a detector: what that knows. */
  readonly vocabulary?: Vocabulary;
  readonly graphs: Readonly<Record<string, { readonly graph: string; readonly weights: readonly string[] }>>;
  /** Of the bundled model: where in a file that a graph reads each weight of the decoder is. */
  readonly compact?: { readonly file: string; readonly weights: Readonly<Record<string, WeightPlace>> };
}

export type WeightPlace = readonly [offset: number, count: number, dtype: "float16" | "float32"];

export interface GenerateConfig {
  readonly points_per_side: number;
  readonly pred_iou_thresh: number;
  readonly stability_score_thresh: number;
  readonly stability_score_offset: number;
  readonly box_nms_thresh: number;
  readonly thing_boxes: number;
  readonly ranking: "iou" | "outline";
  readonly ranking_thresh: number;
  readonly mask_nms_thresh: number;
  readonly containment_nms_thresh: number;
}

const VERSION = 3;

export class Model {
  private readonly sessions = new Map<string, Promise<ort.InferenceSession>>();
  private readonly weights = new Map<string, Promise<ArrayBuffer>>();

  private runtime: Promise<void> | null = null;
  private own: Promise<CompactDecoder | null> | null = null;

  private constructor(
    private readonly files: Files,
    private readonly beside: string,
    readonly about: About,
    readonly threads: number,
  ) {}

  /** Reads what the model is; `beside` is where the runtime lies, which is fetched once a graph is to be opened. */
  static async load(files: Files, beside: string, threads: number): Promise<Model> {
    const about = await fetched(new URL("model.json", files.base).href, files.headers);
    const said = JSON.parse(new TextDecoder().decode(about)) as About;
    if (said.format !== "anymask-browser" || said.version !== VERSION) {
      throw new Error("the model's files are of another version than the page");
    }
    return new Model(files, beside, said, threads);
  }

  /** Fetches what a role needs to begin. */
  async open(role: string): Promise<void> {
    if (role !== "decoder" || !(await this.compact())) await this.graph(role);
  }

  /** The decoder that needs no runtime; null: the model's has to be run as a graph. */
  compact(): Promise<CompactDecoder | null> {
    if (!this.own) {
      this.own = this.makeCompact();
      this.own.catch(() => (this.own = null)); // the network may come back
    }
    return this.own;
  }

  private async makeCompact(): Promise<CompactDecoder | null> {
    const { compact, graphs } = this.about;
    if (!compact || !graphs["decoder"]) return null;
    const file = (await this.unpacked(graphs["decoder"].weights)).get(compact.file)!;
    return new CompactDecoder((name) => weightsAt(file, compact.weights[name]!));
  }

  private loadRuntime(): Promise<void> {
    if (!this.runtime) {
      this.runtime = fetched(new URL("ort.wasm.gz", this.beside).href).then(inflated).then((binary) => {
        ort.env.wasm.wasmBinary = binary;
        ort.env.wasm.wasmPaths = { mjs: new URL("ort.mjs", this.beside).href };
        ort.env.wasm.numThreads = this.threads;
        ort.env.logLevel = "error";
      });
      this.runtime.catch(() => (this.runtime = null));
    }
    return this.runtime;
  }

  has(role: string): boolean {
    return role in this.about.graphs;
  }

  /** Opens a graph, once. */
  graph(role: string): Promise<ort.InferenceSession> {
    let session = this.sessions.get(role);
    if (!session) {
      session = this.openGraph(role);
      session.catch(() => this.sessions.delete(role)); // the network may come back
      this.sessions.set(role, session);
    }
    return session;
  }

  private async openGraph(role: string): Promise<ort.InferenceSession> {
    const graph = this.about.graphs[role];
    if (!graph) throw new Error(`${this.about.variant.name} comes without its ${role} here`);
    const [content, data] = await Promise.all([this.fetch(graph.graph), this.unpacked(graph.weights), this.loadRuntime()]);
    return ort.InferenceSession.create(new Uint8Array(content), {
      executionProviders: ["wasm"],
      externalData: [...data].map(([path, bytes]) => ({ path, data: bytes })),
      // Threads that spin while they wait stop whatever else the processor has to do.
      extra: { session: { intra_op: { allow_spinning: "0" } } },
      logSeverityLevel: 3,
    });
  }

  /** Files that graphs read their weights from. */
  private async unpacked(names: readonly string[]): Promise<Map<string, Uint8Array>> {
    const data = new Map<string, Uint8Array>();
    for (const one of await Promise.all(names.map((name) => this.packed(name)))) unpackWeights(one, data);
    return data;
  }

  /** Fetches packed weights; those of the encoder wait for the detector, which reads them, too. */
  private packed(name: string): Promise<ArrayBuffer> {
    const shared = Object.values(this.about.graphs).filter(({ weights }) => weights.includes(name)).length > 1;
    if (!shared) return this.fetch(name);
    let data = this.weights.get(name);
    if (!data) {
      data = this.fetch(name);
      data.catch(() => this.weights.delete(name));
      this.weights.set(name, data);
    }
    return data;
  }

  private fetch(name: string): Promise<ArrayBuffer> {
    return fetched(new URL(name, this.files.base).href, this.files.headers).then(inflated);
  }
}

async function fetched(url: string, headers?: Readonly<Record<string, string>>): Promise<ArrayBuffer> {
  const response = await fetch(url, headers ? { headers } : {});
  if (!response.ok) throw new Error(`${url.slice(url.lastIndexOf("/") + 1)}: ${response.status}`);
  return response.arrayBuffer();
}

export function floats(values: Float32Array, dims: readonly number[]): ort.Tensor {
  return new ort.Tensor("float32", values, dims);
}

export { ort };
