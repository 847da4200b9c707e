/** What divides requests among the references of a rule: by turns, or by what a user is told by. */

/** The fields of a backendRef that a split reads. */
export interface SplitRef {
  /** Of the Backend: a hash of its id; another for each reference to it in one rule. */
  readonly identity: number
  /** 0 … 1,000,000; 0 receives no requests. */
  readonly weight: number
}

export interface Split {
  /** The same in all generations. */
  readonly key: string
  readonly backends: readonly SplitRef[]
}

export interface SplitDraw {
  /** @returns index of the chosen reference, in proportion to the weights; -1 when every weight is 0 */
  turn(split: Split): number
  /** A number from 0 to 1, evenly distributed. @param salt decides the same question for the same user alike */
  chance(salt: number): number
}
