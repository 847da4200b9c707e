/**
 * Admits expensive work that many sources ask for: so many at a time in all and for each source, and so many in one
 * turn of the event loop. What does not fit waits, and the sources take turns, so that a flood from one of them delays
 * its own work and nobody else's.
 */

export interface FairGateBounds {
  /** At a time. */
  readonly all: number
  readonly perSource: number
  /** Begun in one turn of the event loop. */
  readonly perTurn: number
}

export interface GatedWork {
  readonly source: string
  /** Its turn has come; {@link FairGate.leave} ends it. */
  begin(): void
  /** Others wait for its place, which it has had for long: it leaves. */
  interrupt(): void
}

interface Source {
  active: number
  readonly waiting: Set<GatedWork>
}

export class FairGate {
  readonly #bounds: FairGateBounds
  readonly #nextTurn: (run: () => void) => void
  /** With something active or waiting; who waits longest for a turn comes first. */
  readonly #sources = new Map<string, Source>()
  /** Those that have begun, the first of them first, with the look before it. */
  readonly #active = new Map<GatedWork, number>()
  #look = 0
  #waiting = 0
  #begun = 0
  #scheduled = false

  /** @param nextTurn runs a function in the next turn of the event loop */
  constructor(bounds: FairGateBounds, nextTurn: (run: () => void) => void) {
    this.#bounds = bounds
    this.#nextTurn = nextTurn
  }

  get active(): number {
    return this.#active.size
  }

  get waiting(): number {
    return this.#waiting
  }

  /** Active and waiting ones of a source. */
  sizeOf(source: string): number {
    const known = this.#sources.get(source)
    return known === undefined ? 0 : known.active + known.waiting.size
  }

  /** Begins it at once, or when its turn comes. @returns whether it has begun */
  enter(work: GatedWork): boolean {
    let source = this.#sources.get(work.source)
    if (source === undefined) {
      source = { active: 0, waiting: new Set() }
      this.#sources.set(work.source, source)
    }
    if (this.#waiting === 0 && this.#fits(source)) {
      this.#begin(source, work)
      return true
    }
    source.waiting.add(work)
    this.#waiting++
    this.#schedule()
    return false
  }

  /** What has just begun is so much that nothing else begins in this turn. */
  endTurn(): void {
    this.#begun = this.#bounds.perTurn
  }

  /** It is over, or will not be done after all. @param begun whether its turn had come */
  leave(work: GatedWork, begun: boolean): void {
    const source = this.#sources.get(work.source)
    if (source === undefined) return
    if (begun) {
      source.active--
      this.#active.delete(work)
      if (this.#waiting > 0) this.#schedule()
    } else if (source.waiting.delete(work)) this.#waiting--
    if (source.active === 0 && source.waiting.size === 0) this.#sources.delete(work.source)
  }

  /**
   * Takes places of those that do nothing with them, for those that wait: to be called every second or so. Only what
   * had its place for longer than that is interrupted: one for each source that waits while there is no place for
   * anybody, and of a source that has all of its own places, as many as wait there.
   */
  relieve(): void {
    this.#look++
    if (this.#waiting === 0) return
    const { all, perSource } = this.#bounds
    let others = 0
    const own = new Map<string, number>()
    for (const [name, { active, waiting }] of this.#sources)
      if (active >= perSource) own.set(name, waiting.size)
      else if (waiting.size > 0 && this.#active.size >= all) others++
    for (const [work, look] of this.#active) {
      if (this.#look - look < 2) return
      const ofSource = own.get(work.source) ?? 0
      if (ofSource > 0) own.set(work.source, ofSource - 1)
      else if (others > 0) others--
      else continue
      work.interrupt()
    }
  }

  #fits({ active }: Source): boolean {
    const { all, perSource, perTurn } = this.#bounds
    return this.#active.size < all && active < perSource && this.#begun < perTurn
  }

  #begin(source: Source, work: GatedWork): void {
    source.active++
    this.#active.set(work, this.#look)
    this.#begun++
    this.#schedule()
    work.begin()
  }

  /** The count of a turn ends with it. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#nextTurn(() => {
      this.#scheduled = false
      this.#begun = 0
      this.#serve()
    })
  }

  #serve(): void {
    // Sources passed in a row without a place for one of them.
    let passed = 0
    while (this.#waiting > 0 && passed < this.#sources.size && this.#active.size < this.#bounds.all) {
      if (this.#begun >= this.#bounds.perTurn) return this.#schedule()
      const [name, source] = this.#sources.entries().next().value!
      this.#sources.delete(name)
      this.#sources.set(name, source)
      const work = source.waiting.values().next().value
      if (work === undefined || !this.#fits(source)) {
        passed++
        continue
      }
      passed = 0
      source.waiting.delete(work)
      this.#waiting--
      this.#begin(source, work)
    }
  }
}
