/** Which tab this is: a second one of the same person gets an image of its own. */

import { newId } from "../store/project.ts";

const KEPT = "anymask-studio-tab";
const ANSWER_MS = 200;

/** Names this tab: as before if it was loaded anew, otherwise if it is a copy of one that is open. */
export async function nameTab(): Promise<string> {
  const channel = new BroadcastChannel(KEPT);
  let name = keptName();
  if (name !== null && (await isTaken(channel, name))) name = null;
  name ??= newId();
  try {
    sessionStorage.setItem(KEPT, name);
  } catch {
    // A browser that keeps nothing takes every load for another tab.
  }
  channel.onmessage = ({ data }: MessageEvent<{ asks?: string }>) => {
    if (data.asks === name) channel.postMessage({ has: name });
  };
  return name;
}

function keptName(): string | null {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

/** Asks the other tabs of this browser, for a copy of a tab begins with what that one keeps. */
function isTaken(channel: BroadcastChannel, name: string): Promise<boolean> {
  return new Promise((resolve) => {
    channel.onmessage = ({ data }: MessageEvent<{ has?: string }>) => {
      if (data.has === name) resolve(true);
    };
    channel.postMessage({ asks: name });
    setTimeout(() => resolve(false), ANSWER_MS);
  });
}
