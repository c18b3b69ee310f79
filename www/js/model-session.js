/** At most one model is loaded at a time. Loading another one cancels a load under way and disposes of the old one. */

export class ModelSession {
  /** The loaded ImageClassifier. @type {any} */ model;
  /** @type {AbortController | undefined} */ #loading;
  /** @type {Promise<unknown>} one load after the other, also where the older was cancelled */ #last = Promise.resolve();

  /** @param {() => Promise<any>} importPackage @param {(error: Error) => void} onLost */
  constructor(importPackage, onLost) {
    this.importPackage = importPackage;
    this.onLost = onLost;
  }

  /**
   * @param {any} source the package's ModelSource
   * @param {Record<string, unknown>} options the package's LoadOptions
   * @returns {Promise<any>} the classifier, or nothing where a later load overtook this one
   */
  async load(source, options) {
    this.cancel();
    const mine = new AbortController();
    this.#loading = mine;
    const run = this.#last.then(async () => {
      await this.dispose();
      const { ImageClassifier } = await this.importPackage();
      mine.signal.throwIfAborted();
      return ImageClassifier.load(source, { ...options, signal: mine.signal });
    });
    this.#last = run.catch(() => undefined);
    try {
      const model = await run;
      if (this.#loading !== mine || mine.signal.aborted) {
        await model.dispose();
        mine.signal.throwIfAborted();
        return undefined;
      }
      this.model = model;
      model.lost?.then((/** @type {Error} */ error) => {
        if (this.model !== model) return;
        this.dispose().catch((reason) => console.warn('After the loss of the device:', reason));
        this.onLost(error);
      });
      return model;
    } catch (error) {
      if (this.#loading !== mine) return undefined;
      throw error;
    } finally {
      if (this.#loading === mine) this.#loading = undefined;
    }
  }

  get loading() {
    return this.#loading !== undefined;
  }

  cancel() {
    this.#loading?.abort();
  }

  async dispose() {
    const old = this.model;
    this.model = undefined;
    await old?.dispose();
  }
}
