/** The page without a server: this browser keeps the images and the masks, and finds them. */

import { Away } from "./api/client.ts";
import { DECODING_THREADS, Engine, startDecoding, usualThreads } from "./decode/engine.ts";
import { LocalDecoder, type RawImage } from "./decode/local.ts";
import { LocalApi } from "./local/local_api.ts";
import { keepAll, settle, tellOfUpdates } from "./local/offline.ts";
import { open, prepare } from "./page.ts";
import { App } from "./store/app.ts";
import { say } from "./words/words.ts";

async function main(): Promise<void> {
  prepare();
  const registration = await settle();
  // Of this address alone: several pages may share a host, and with it the browser's storage.
  const place = new URL(".", location.href).pathname;
  const api = new LocalApi(`anymask-studio ${place}`);
  const model = new Model(() => keepAll(registration));
  const app = new App(api);
  app.decoder = new LocalDecoder(model.engine, async (id) => {
    await model.started();
    return pixelsOf(await api.image(id, AbortSignal.timeout(60_000)));
  }, usualThreads() > DECODING_THREADS ? () => startDecoding(Engine.open(), FILES) : null);
  open(app, () => (model.isReady ? "hint.waiting" : "hint.loading_model"));
  if (registration) tellOfUpdates(registration, () => app.saved(AbortSignal.timeout(10_000)));
}

const FILES = { base: "model/" };

/** The model in its worker, which is loaded once it is needed, and again if that failed. */
class Model {
  readonly engine = Engine.open();
  isReady = false;
  private starting: Promise<void> | null = null;

  constructor(private readonly ready: () => void) {}

  started(): Promise<void> {
    if (this.engine.isDead) this.starting = null; // such as where memory ran out: another worker begins anew
    this.starting ??= this.engine.start(FILES, ["encoder", "decoder"]).then(
      () => {
        this.isReady = true;
        this.ready();
      },
      (error: unknown) => {
        this.starting = null;
        throw new Away(say("error.no_model", { error: error instanceof Error ? error.message : String(error) }));
      },
    );
    return this.starting;
  }
}

async function pixelsOf(file: Blob): Promise<RawImage> {
  const image = await createImageBitmap(file);
  const { width, height } = image;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
  context.fillStyle = "#fff"; // below what is transparent, as the library has it
  context.fillRect(0, 0, width, height);
  context.drawImage(image, 0, 0);
  image.close();
  return { width, height, data: context.getImageData(0, 0, width, height).data };
}

void main();
