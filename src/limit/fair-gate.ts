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
  #active = 0
  #waiting = 0
  #begun = 0
  #scheduled = false

  /** @param nextTurn runs a function in the next turn of the event loop */
  constructor(bounds: FairGateBounds, nextTurn: (run: () => void) => void) {
    this.#bounds = bounds
    this.#nextTurn = nextTurn
  }

  get active(): number {
    return this.#active
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

  /** It is over, or will not be done after all. @param begun whether its turn had come */
  leave(work: GatedWork, begun: boolean): void {
    const source = this.#sources.get(work.source)
    if (source === undefined) return
    if (begun) {
      source.active--
      this.#active--
      if (this.#waiting > 0) this.#schedule()
    } else if (source.waiting.delete(work)) this.#waiting--
    if (source.active === 0 && source.waiting.size === 0) this.#sources.delete(work.source)
  }

  #fits({ active }: Source): boolean {
    const { all, perSource, perTurn } = this.#bounds
    return this.#active < all && active < perSource && this.#begun < perTurn
  }

  #begin(source: Source, work: GatedWork): void {
    source.active++
    this.#active++
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
    while (this.#waiting > 0 && passed < this.#sources.size && this.#active < this.#bounds.all) {
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
