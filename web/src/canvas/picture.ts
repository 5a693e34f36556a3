/** An image to draw at any zoom: itself, and smaller copies, so that it is sharp and quick when small. */

import type { View } from "./view.ts";

interface Level {
  readonly bitmap: ImageBitmap;
  readonly scale: number;
}

const SMALLEST = 512; // sides of the smallest copy
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

  draw(context: CanvasRenderingContext2D, view: View, ratio: number): void {
    const scale = view.scale * ratio;
    const level = this.levels.findLast((one) => one.scale >= scale) ?? this.levels[0]!;
    context.setTransform(scale, 0, 0, scale, view.x * ratio, view.y * ratio);
    context.imageSmoothingEnabled = scale < BLOCKY;
    context.imageSmoothingQuality = "high";
    context.drawImage(level.bitmap, 0, 0, this.w, this.h);
  }

  close(): void {
    this.closed = true;
    for (const { bitmap } of this.levels) bitmap.close();
  }
}
