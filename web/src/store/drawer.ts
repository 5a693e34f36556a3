/** A place in the browser for what the page would lose when it is closed. */

/** Keeps values by their keys; a browser that keeps nothing gives null and forgets. */
export interface Drawer<Value> {
  get(key: string): Promise<Value | null>;
  /** All values whose keys begin with the same. */
  all(prefix: string): Promise<readonly Value[]>;
  put(key: string, value: Value): Promise<void>;
  drop(key: string): Promise<void>;
}

const STORE = "unsaved";

/** A drawer in a database of the browser. */
export function browserDrawer<Value>(name: string): Drawer<Value> {
  let opened: Promise<IDBDatabase> | null = null;
  const open = (): Promise<IDBDatabase> => {
    opened ??= new Promise((resolve, reject) => {
      const request = indexedDB.open(name, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    return opened;
  };
  const ask = async <Result>(
    mode: IDBTransactionMode,
    what: (store: IDBObjectStore) => IDBRequest<Result>,
  ): Promise<Result | null> => {
    try {
      const request = what((await open()).transaction(STORE, mode).objectStore(STORE));
      return await new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
    } catch {
      return null; // a private window, or no room: the page itself still has everything
    }
  };
  return {
    get: async (key) => (await ask<Value | undefined>("readonly", (store) => store.get(key))) ?? null,
    all: async (prefix) => (await ask<Value[]>("readonly", (store) => store.getAll(IDBKeyRange.bound(prefix, `${prefix}\uffff`)))) ?? [],
    put: async (key, value) => void (await ask("readwrite", (store) => store.put(value, key))),
    drop: async (key) => void (await ask("readwrite", (store) => store.delete(key))),
  };
}
