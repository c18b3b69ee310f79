/** Calls on one device: one after the other, given up when their signal says so, and waited for before the end. */
import { DisposedError } from './errors.js';

export class Calls {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  readonly #begun = new Set<Promise<unknown>>();
  readonly #end = new AbortController();

  /** Aborted with a {@link DisposedError} as soon as no calls are taken any more. */
  get ended(): AbortSignal {
    return this.#end.signal;
  }

  /** @throws {DisposedError} after the end */
  check(): void {
    this.#end.signal.throwIfAborted();
  }

  /** A call from its very beginning: the end waits for it. */
  async begin<T>(call: () => Promise<T>): Promise<T> {
    this.check();
    const result = call();
    const settled = result.then(() => undefined, () => undefined);
    this.#begun.add(settled);
    try {
      return await result;
    } finally {
      this.#begun.delete(settled);
    }
  }

  /**
   * Runs `use` when all earlier calls are through, then `close` in any case. An abort ends the wait at once; what runs by then
   * runs to its end unseen.
   */
  next<T>(use: () => Promise<T>, signal?: AbortSignal, close: () => void = () => undefined): Promise<T> {
    const queued = this.#waiting++ > 0;
    const turn = this.#last.then(async () => {
      try {
        // On the CPU calls are nothing but microtasks, and a page with many of them would stand still.
        if (queued) await task();
        signal?.throwIfAborted();
        return await use();
      } finally {
        this.#waiting--;
        close();
      }
    });
    this.#last = turn.catch(() => undefined);
    return raced(turn, signal);
  }

  /** Takes no more calls and waits for those that have begun. */
  async end(): Promise<void> {
    this.#end.abort(new DisposedError('The model was disposed; load it again.'));
    await Promise.all(this.#begun);
    await this.#last;
  }
}

/** Rejects as soon as `signal` is aborted. What `promise` brings after that goes to `late`, its errors nowhere. */
export function raced<T>(promise: Promise<T>, signal: AbortSignal | undefined, late?: (value: T) => unknown): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(signal.reason as Error);
      promise.then(late, () => undefined);
    };
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    const done = () => signal.removeEventListener('abort', abort);
    promise.then((value) => (done(), resolve(value)), (error: unknown) => (done(), reject(error as Error)));
  });
}

/** Runs `use` on all items, two at a time: one is decoded while the other runs. The first error ends it. Results in order. */
export async function inTurn<T, R>(items: readonly T[], use: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const work = async () => {
    while (next < items.length) {
      const i = next++;
      try {
        results[i] = await use(items[i] as T);
      } catch (error) {
        next = items.length;
        throw error;
      }
    }
  };
  const both = [work(), work()];
  // What has begun ends before this does, so that nothing runs on after an error.
  await Promise.allSettled(both);
  await Promise.all(both);
  return results;
}

/** Resolves in a task of its own; a timer would wait four milliseconds. */
function task(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
