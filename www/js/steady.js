/** What a video shows, kept steady: labels that are close do not take turns, and "not sure" does not come and go. */

/** How far ahead another class must be to take the first place. */
const LEAD = 0.06;
/** How far below the least score a shown answer may fall. */
const SLACK = 0.06;

export class Steady {
  /** @type {number | undefined} the class shown first */
  #first;
  #sure = false;

  forget() {
    this.#first = undefined;
    this.#sure = false;
  }

  /**
   * @param {{ predictions: { index: number, score: number }[], confident: boolean }} result of a frame
   * @param {{ minScore: number, unknown: number | null }} info
   * @returns {{ predictions: any[], confident: boolean }} with the class that was first before still first, if it is as good
   */
  next({ predictions, confident }, { minScore, unknown }) {
    const held = predictions.find(({ index }) => index === this.#first);
    const keeps = held !== undefined && held.score + LEAD >= (predictions[0]?.score ?? 0);
    const shown = keeps ? [held, ...predictions.filter((prediction) => prediction !== held)] : predictions;
    const [first] = shown;
    const stays = this.#sure && keeps && first !== undefined && first.index !== unknown && first.score >= minScore - SLACK;
    this.#sure = stays || (confident && first !== undefined && first.index !== unknown && first.score >= minScore);
    this.#first = first?.index;
    return { predictions: shown, confident: this.#sure };
  }
}
