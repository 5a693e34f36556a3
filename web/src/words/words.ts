/** What the page says, in the language of whoever reads it. */

import { en, type Key } from "./en.ts";
import { zh } from "./zh.ts";

export type { Key } from "./en.ts";
export type Language = "en" | "zh";

const TABLES: Record<Language, Record<Key, string>> = { en, zh };

let language: Language = "en";

export function speak(chosen: Language): void {
  language = chosen;
}

export function spoken(): Language {
  return language;
}

/** The first of the languages that somebody prefers that the page speaks. */
export function preferred(languages: readonly string[]): Language {
  for (const one of languages) {
    if (one.startsWith("zh")) return "zh";
    if (one.startsWith("en")) return "en";
  }
  return "en";
}

export function say(key: Key, parts: Readonly<Record<string, string | number>> = {}): string {
  return TABLES[language][key].replace(/\{(\w+)\}/g, (_, name: string) => String(parts[name] ?? ""));
}
