/** An image to draw at any zoom: itself, and smaller copies, so that it is sharp and quick when small. */

import { type View, visible } from "./view.ts";

interface Level {
  readonly bitmap: ImageBitmap;
  readonly scale: number;
}

const SMALLEST = 512; // sides of the smallest copy
const RIM = 2; // pixels
const BLOCKY = 5; // screen pixels of a pixel, from which on they are shown as squares

export class Picture {
  private readonly levels: Level[];
  private closed = false;

  private constructor(
    full: ImageBitmap,
    readonly w: number,
    readonly h: number,
  ) {
    this.levels = [{ bitmap: full, scale: full.width / w }];
  }

  /** Decodes an image; smaller copies follow, `changed` is called after each. */
  static async read(file: Blob, w: number, h: number, changed: () => void): Promise<Picture> {
    const picture = new Picture(await createImageBitmap(file), w, h);
    void picture.addLevels(changed);
    return picture;
  }

  private async addLevels(changed: () => void): Promise<void> {
    for (let last = this.levels[0]!; Math.max(last.bitmap.width, last.bitmap.height) > 2 * SMALLEST; ) {
      const bitmap = await createImageBitmap(last.bitmap, {
        resizeWidth: Math.max(1, Math.round(last.bitmap.width / 2)),
        resizeHeight: Math.max(1, Math.round(last.bitmap.height / 2)),
        resizeQuality: "high",
      });
      if (this.closed) return bitmap.close();
      last = { bitmap, scale: bitmap.width / this.w };
      this.levels.push(last);
      changed();
    }
  }

  /** The full image, for cut-outs. */
  get full(): ImageBitmap {
    return this.levels[0]!.bitmap;
  }

  /**
   * Draws what is on the screen, of the smallest copy that is fine enough: so a frame looks at no
   * more than four pixels for each of the screen, however large the image is.
   */
  draw(context: CanvasRenderingContext2D, view: View, ratio: number): void {
    const scale = view.scale * ratio;
    const { bitmap } = this.levels.findLast((one) => one.scale >= scale) ?? this.levels[0]!;
    const screen = { w: context.canvas.width / ratio, h: context.canvas.height / ratio };
    const seen = visible(view, this, screen);
    const fx = bitmap.width / this.w;
    const fy = bitmap.height / this.h;
    // With a rim, so that the borders of the part are no borders of what is interpolated.
    const x0 = Math.max(0, Math.floor(seen.x0 * fx) - RIM);
    const y0 = Math.max(0, Math.floor(seen.y0 * fy) - RIM);
    const w = Math.min(bitmap.width, Math.ceil(seen.x1 * fx) + RIM) - x0;
    const h = Math.min(bitmap.height, Math.ceil(seen.y1 * fy) + RIM) - y0;
    if (w <= 0 || h <= 0) return;
    context.setTransform(scale, 0, 0, scale, view.x * ratio, view.y * ratio);
    context.imageSmoothingEnabled = scale < BLOCKY && scale !== 1;
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, x0, y0, w, h, x0 / fx, y0 / fy, w / fx, h / fy);
  }

  close(): void {
    this.closed = true;
    for (const { bitmap } of this.levels) bitmap.close();
  }
}
