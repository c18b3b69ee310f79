/** Classes of one's own, from a few pictures each. */
import { normalised, similarity } from './embedding.js';
import { InvalidOptionError } from './errors.js';
import { checkExamples } from './options.js';
import type { ImageClassifier } from './classifier.js';
import type { EmbedOptions, ImageSource, Lesson, TaughtClassification } from './types.js';

/** Divides similarities before the softmax: centred vectors are seldom more than half a unit apart. */
const TEMPERATURE = 0.1;

interface Taught {
  count: number;
  /** The sum of the examples' vectors. */
  sum: Float32Array;
}

/**
 * Learns classes of its own from a few examples each, on top of a model that was trained on others: nearest class means of the
 * model's vectors, centred on the mean of all classes (SimpleShot, Wang et al. 2019). Nothing is trained, so an example counts at once.
 */
export class TeachableClassifier {
  readonly #classifier: ImageClassifier;
  readonly #classes = new Map<string, Taught>();

  /** @param classifier gives the vectors; it stays the caller's to dispose */
  constructor(classifier: ImageClassifier) {
    this.#classifier = classifier;
  }

  /** The classes in the order in which they were first taught, with how many examples each has. */
  get classes(): { label: string; count: number }[] {
    return [...this.#classes].map(([label, { count }]) => ({ label, count }));
  }

  /**
   * Teaches one more example of a class.
   *
   * @throws as `ImageClassifier.embed`; {InvalidOptionError} for an empty label
   */
  async addExample(label: string, source: ImageSource, options: EmbedOptions = {}): Promise<void> {
    if (typeof label !== 'string' || !label) throw new InvalidOptionError('addExample: the label must be a text that is not empty.');
    const vector = await this.#classifier.embed(source, options);
    const known = this.#classes.get(label);
    this.#classes.set(label, known ? { count: known.count + 1, sum: known.sum.map((value, i) => value + (vector[i] ?? 0)) } : { count: 1, sum: vector });
  }

  /** Forgets a class, or all of them; false where there was none. */
  forget(label?: string): boolean {
    if (label !== undefined) return this.#classes.delete(label);
    const any = this.#classes.size > 0;
    this.#classes.clear();
    return any;
  }

  /**
   * The taught classes, best first; scores sum to 1.
   *
   * @throws as `ImageClassifier.embed`; {InvalidOptionError} before two classes are taught
   */
  async classify(source: ImageSource, options: EmbedOptions = {}): Promise<TaughtClassification> {
    if (this.#classes.size < 2) throw new InvalidOptionError('classify: teach at least two classes before, by addExample().');
    const vector = await this.#classifier.embed(source, options);
    const means = [...this.#classes].map(([label, { count, sum }]) => ({ label, mean: sum.map((value) => value / count) }));
    const centre = vector.map((_, i) => means.reduce((all, { mean }) => all + (mean[i] ?? 0), 0) / means.length);
    const centred = (values: Float32Array) => normalised(values.map((value, i) => value - (centre[i] ?? 0)));
    const shifted = centred(vector);
    const near = means.map(({ label, mean }) => ({ label, weight: Math.exp(similarity(shifted, centred(mean)) / TEMPERATURE), similarity: similarity(vector, mean) }));
    const all = near.reduce((sum, { weight }) => sum + weight, 0);
    const predictions = near.map(({ label, weight, similarity }) => ({ label, score: weight / all, similarity }));
    return { predictions: predictions.sort((a, b) => b.score - a.score) };
  }

  /** All that was taught, as data that JSON can hold. */
  export(): Lesson {
    const classes = [...this.#classes].map(([label, { count, sum }]) => ({ label, count, sum: [...sum] }));
    return { model: this.#classifier.info.name, classes };
  }

  /**
   * Takes what `export` gave, in place of what was taught here.
   *
   * @throws {InvalidOptionError} something else, or examples that another model has seen
   */
  import(lesson: Lesson): void {
    checkExamples(lesson);
    const { name } = this.#classifier.info;
    if (lesson.model !== name) throw new InvalidOptionError(`import: these examples were seen by ${lesson.model}; ${name} sees them otherwise.`);
    this.#classes.clear();
    for (const { label, count, sum } of lesson.classes) this.#classes.set(label, { count, sum: Float32Array.from(sum) });
  }
}
