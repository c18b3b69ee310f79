/** The model that works. Another one takes its place when it is ready, not before; a load cancels the one under way. */

export class ModelSession {
  /** The loaded model. @type {any} */ model;
  /** @type {AbortController | undefined} */ #loading;
  /** @type {Promise<unknown>} one load after the other, also where the older was cancelled */ #last = Promise.resolve();

  /**
   * @param {() => Promise<any>} importPackage
   * @param {{ onReplace: () => Promise<void>, onLost: (error: Error) => void }} events `onReplace` ends the work on the old model
   * @param {'ImageClassifier' | 'ImageSegmenter'} [kind] the package's class
   */
  constructor(importPackage, { onReplace, onLost }, kind = 'ImageClassifier') {
    this.kind = kind;
    this.importPackage = importPackage;
    this.onReplace = onReplace;
    this.onLost = onLost;
  }

  /**
   * @param {any} source the package's ModelSource
   * @param {Record<string, unknown>} options the package's LoadOptions
   * @returns {Promise<any>} the model, or nothing where a later load overtook this one
   */
  async load(source, options) {
    this.cancel();
    const mine = new AbortController();
    this.#loading = mine;
    const run = this.#last.then(async () => {
      const { [this.kind]: Model } = await this.importPackage();
      mine.signal.throwIfAborted();
      return Model.load(source, { ...options, signal: mine.signal });
    });
    this.#last = run.catch(() => undefined);
    try {
      const model = await run;
      if (this.#loading !== mine || mine.signal.aborted) {
        await model.dispose();
        mine.signal.throwIfAborted();
        return undefined;
      }
      await this.#replace(model);
      return model;
    } catch (error) {
      if (this.#loading !== mine) return undefined;
      throw error;
    } finally {
      if (this.#loading === mine) this.#loading = undefined;
    }
  }

  /** @param {any} model */
  async #replace(model) {
    const old = this.model;
    this.model = model;
    await this.onReplace();
    await old?.dispose();
    model.lost?.then((/** @type {Error} */ error) => {
      if (this.model !== model) return;
      this.model = undefined;
      model.dispose().catch((/** @type {unknown} */ reason) => console.warn('After the loss of the device:', reason));
      this.onLost(error);
    });
  }

  get loading() {
    return this.#loading !== undefined;
  }

  cancel() {
    this.#loading?.abort();
  }
}
