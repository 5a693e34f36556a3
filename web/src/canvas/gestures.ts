/** Mouse, pen, touch and wheel as what is meant: pointing, pressing, dragging, moving, zooming. */

import type { Place } from "./view.ts";

export interface Press extends Place {
  /** Whether the background is meant: the right button, Alt, or a pen's side button. */
  readonly away: boolean;
  readonly shift: boolean;
  readonly ctrl: boolean;
}

export interface Gestures {
  hover(at: Place): void;
  leave(): void;
  /** A finger has come down, and may be the first of two: what its press would mean can be made ready. */
  touch(at: Place): void;
  press(press: Press): void;
  drag(press: Press): void;
  release(press: Press): void;
  /** The press was none: a second finger came, or the browser took over. */
  cancel(): void;
  move(dx: number, dy: number): void;
  zoom(factor: number, at: Place): void;
  /** Whether dragging moves the image at the moment. */
  isMoving(): boolean;
}

/** "wait": a finger lies there, and may be the first of two. */
type Mode = "none" | "wait" | "press" | "move" | "pinch";

const STILL = 8; // pixels that a finger may move before it is a drag

export function listenToPointer(element: HTMLElement, gestures: Gestures): void {
  const fingers = new Map<number, Place>();
  let mode: Mode = "none";
  let last: Place = { x: 0, y: 0 };
  let first: Press | null = null;
  /** Who presses or moves; what else touches the screen meanwhile is a palm. */
  let leader = -1;
  let penSeen = false;

  const placeOf = (event: MouseEvent): Place => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const pressOf = (event: PointerEvent): Press => ({
    ...placeOf(event),
    away: event.button === 2 || (event.buttons & 2) !== 0 || event.altKey,
    shift: event.shiftKey,
    ctrl: event.ctrlKey || event.metaKey,
  });
  const pair = (): [Place, Place] => {
    const [a, b] = [...fingers.values()];
    return [a!, b!];
  };

  /** Whether it is a hand beside the pen: it neither presses nor ends what the pen does. */
  const isPalm = (event: PointerEvent): boolean =>
    event.pointerType === "touch" && mode === "press" && penSeen && !fingers.has(leader);

  const begin = (press: Press): void => {
    mode = "press";
    gestures.press(press);
  };

  element.addEventListener("pointerdown", (event) => {
    element.focus({ preventScroll: true });
    if (isPalm(event)) return event.preventDefault();
    element.setPointerCapture(event.pointerId);
    const at = placeOf(event);
    if (event.pointerType === "pen") {
      penSeen = true;
      if (mode === "press" && fingers.has(leader)) gestures.cancel();
      if (mode !== "press" || fingers.has(leader)) mode = "none";
      fingers.clear(); // of the hand that lay there first
    }
    if (event.pointerType === "touch") fingers.set(event.pointerId, at);
    const isFinger = event.pointerType === "touch" && penSeen; // whoever has a pen draws with that
    if (fingers.size >= 2) {
      if (mode === "press") gestures.cancel();
      else if (mode === "wait") gestures.leave();
      mode = "pinch";
    } else if (event.button === 1 || gestures.isMoving() || isFinger) {
      mode = "move";
      leader = event.pointerId;
    } else if (mode === "none") {
      leader = event.pointerId;
      first = pressOf(event);
      if (fingers.size) {
        mode = "wait";
        gestures.touch(at);
      } else begin(first);
    }
    last = at;
    event.preventDefault();
  });

  element.addEventListener("pointermove", (event) => {
    if (event.pointerType === "pen") penSeen = true;
    if ((mode === "press" || mode === "move" || mode === "wait") && event.pointerId !== leader) return;
    const at = placeOf(event);
    if (mode === "pinch") {
      if (fingers.size < 2 || !fingers.has(event.pointerId)) return;
      const [a, b] = pair();
      fingers.set(event.pointerId, at);
      const [c, d] = pair();
      const before = Math.hypot(a.x - b.x, a.y - b.y) || 1;
      const middle = { x: (c.x + d.x) / 2, y: (c.y + d.y) / 2 };
      gestures.move(middle.x - (a.x + b.x) / 2, middle.y - (a.y + b.y) / 2);
      gestures.zoom(Math.hypot(c.x - d.x, c.y - d.y) / before, middle);
      return;
    }
    if (mode === "wait" && first && Math.hypot(at.x - first.x, at.y - first.y) > STILL) begin(first);
    if (mode === "move") gestures.move(at.x - last.x, at.y - last.y);
    else if (mode === "press") gestures.drag(pressOf(event));
    else if (event.pointerType !== "touch") gestures.hover(at);
    last = at;
  });

  const end = (event: PointerEvent, cancelled: boolean): void => {
    fingers.delete(event.pointerId);
    if (mode !== "pinch" && event.pointerId !== leader) return;
    if (mode === "wait" && first && !cancelled) begin(first);
    if (mode === "press") {
      if (cancelled) gestures.cancel();
      else gestures.release(pressOf(event));
    }
    if (mode !== "pinch" || fingers.size === 0) mode = "none";
  };
  element.addEventListener("pointerup", (event) => end(event, false));
  element.addEventListener("pointercancel", (event) => end(event, true));
  element.addEventListener("pointerleave", () => {
    if (mode === "none") gestures.leave();
  });
  element.addEventListener("contextmenu", (event) => event.preventDefault());
  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 32 : 1;
      if (event.shiftKey) {
        gestures.move(-(event.deltaX + event.deltaY) * lines, 0);
        return;
      }
      const speed = event.ctrlKey ? 0.01 : 0.0016; // pinching on a touchpad comes in small steps
      gestures.zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) * speed), placeOf(event));
    },
    { passive: false },
  );
}
