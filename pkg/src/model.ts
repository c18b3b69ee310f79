/// <reference lib="esnext.disposable" preserve="true" />
/** What models have in common, whatever they are for. */
import type { Calls } from './calls.js';
import type { Engine } from './engine.js';
import { WebmambaError } from './errors.js';
import type { ModelInfo, ProfileEntry } from './types.js';

/** A model on its device. */
export abstract class LoadedModel {
  readonly #engine: Engine;
  readonly #calls: Calls;

  /** For `load` of the models. */
  protected constructor(engine: object, calls: object) {
    if (!engine) throw new WebmambaError('Models are made by ImageClassifier.load() and ImageSegmenter.load(), not by `new`.');
    this.#engine = engine as Engine;
    this.#calls = calls as Calls;
  }

  /** The model, its device and the memory it takes. */
  get info(): ModelInfo {
    return this.#engine.info;
  }

  /** Resolves with the reason when the device goes away. Pending and later calls then fail; load the model again. */
  get lost(): Promise<Error> {
    return this.#engine.lost;
  }

  /**
   * Milliseconds of every kernel launch (WebGPU, where the adapter has timestamps) or operator (CPU) of one run, which depend on the
   * image's size at the most: of a segmenter it is that of the last image.
   */
  async profile(): Promise<ProfileEntry[]> {
    return this.#calls.begin(() => this.#calls.next(() => this.#engine.profile()));
  }

  /** Objects made on the device so far (buffers, bind groups, pipelines), for tests of leaks; empty on the CPU, and before a segmenter's first image. */
  async allocations(): Promise<number[]> {
    return this.#calls.begin(() => this.#calls.next(() => this.#engine.allocations()));
  }

  /** Gives back all memory. Waits for calls in progress; later ones fail with `DisposedError`. */
  async dispose(): Promise<void> {
    await this.#calls.end();
    await this.#engine.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}
