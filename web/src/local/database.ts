/** The browser's database, with promises; transactions are whole or not at all, in all windows. */

import { Problem } from "../problem.ts";
import { say } from "../words/words.ts";

export const STORES = ["pictures", "files", "thumbnails", "things", "parts"] as const;
export type StoreName = (typeof STORES)[number];

/** A store in a transaction. */
export interface Store {
  get<Value>(key: string): Promise<Value | undefined>;
  all<Value>(): Promise<Value[]>;
  put(value: unknown, key: string): void;
  drop(key: string): void;
}

export type Stores = Readonly<Record<StoreName, Store>>;

export class Database {
  private opened: Promise<IDBDatabase> | null = null;

  constructor(private readonly name: string) {}

  /** Works in one transaction; what it gives is given once everything is on the disk. */
  async run<Result>(mode: "readonly" | "readwrite", work: (stores: Stores) => Promise<Result>): Promise<Result> {
    const database = await this.open();
    let transaction: IDBTransaction;
    try {
      transaction = database.transaction(STORES, mode, { durability: "strict" });
    } catch (error) {
      this.opened = null; // closed meanwhile, such as when somebody has cleared the site's data
      throw told(error);
    }
    const done = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      // Also after an error of a request, of which the transaction itself does not know yet then.
      transaction.onabort = () => reject(told(transaction.error));
    });
    done.catch(() => undefined);
    try {
      const result = await work(storesOf(transaction));
      await done;
      return result;
    } catch (error) {
      try {
        transaction.abort();
      } catch {
        // It has ended already.
      }
      throw told(error);
    }
  }

  private open(): Promise<IDBDatabase> {
    this.opened ??= new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open(this.name, 1);
      request.onupgradeneeded = () => STORES.forEach((name) => request.result.createObjectStore(name));
      request.onerror = () => reject(told(request.error));
      request.onsuccess = () => {
        request.result.onversionchange = () => {
          request.result.close();
          this.opened = null;
        };
        request.result.onclose = () => (this.opened = null);
        resolve(request.result);
      };
    });
    this.opened.catch(() => (this.opened = null));
    return this.opened;
  }
}

function storesOf(transaction: IDBTransaction): Stores {
  const entries = STORES.map((name) => {
    const store = transaction.objectStore(name);
    const found: Store = {
      get: (key) => answer(store.get(key)),
      all: () => answer(store.getAll()),
      put: (value, key) => void store.put(value, key),
      drop: (key) => void store.delete(key),
    };
    return [name, found] as const;
  });
  return Object.fromEntries(entries) as unknown as Stores;
}

function answer<Value>(request: IDBRequest): Promise<Value> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result as Value);
    request.onerror = () => reject(told(request.error));
  });
}

/** Says in a sentence why the browser does not keep something. */
function told(error: unknown): Error {
  if (!(error instanceof DOMException)) return error instanceof Error ? error : new Problem(say("error.storage", { error: String(error) }));
  if (error.name === "QuotaExceededError") return new Problem(say("error.full"));
  return new Problem(say("error.storage", { error: error.message || error.name }));
}
