/** One piece of work on the model at a time: the loop over a video or one picture. Starting another stops the one before. */

export class Work {
  /** @type {AbortController | undefined} */ #abort;
  /** @type {Promise<void>} */ #done = Promise.resolve();

  /** Stops what runs, and resolves when the model is free. */
  async stop() {
    this.#abort?.abort();
    await this.#done;
  }

  /**
   * @param {(signal: AbortSignal) => Promise<void>} job must heed the signal
   * @param {(error: unknown) => void} onError for all but the abort that `stop` asked for
   */
  start(job, onError) {
    this.#abort?.abort();
    const mine = new AbortController();
    this.#abort = mine;
    this.#done = this.#done.then(async () => {
      if (mine.signal.aborted) return;
      try {
        await job(mine.signal);
      } catch (error) {
        if (!mine.signal.aborted) onError(error);
        else if (/** @type {Error} */ (error)?.name !== 'AbortError') console.warn('After a stop:', error);
      }
    });
    return this.#done;
  }
}
