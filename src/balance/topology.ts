/** Where this replica of the gateway stands among those that share its work, as far as that is known. */
export interface Topology {
  /** Its zone. */
  readonly zone?: string
  /** Replicas of each zone, this one among them, those without a zone under ''; empty where nobody knows. */
  readonly replicas: readonly (readonly [zone: string, count: number])[]
  /** Its place among all. */
  readonly place: Place
  /** Its place among those of its zone. */
  readonly placeInZone: Place
}

/** All replicas have the same order. */
export interface Place {
  /** From 0. */
  readonly index: number
  readonly count: number
}

const ONLY: Place = Object.freeze({ index: 0, count: 1 })

/** Nothing is known. */
export const ALONE: Topology = Object.freeze({ replicas: [], place: ONLY, placeInZone: ONLY })
