/** The work that a change requires. */

/** What a batch of events asks for; the first is less than the second, less than the third. */
export type Impact =
  | 'ignore'
  /** Only the endpoints of these backend ids may differ: `endpointsOf` for each, no compile. */
  | { readonly endpoints: readonly string[] }
  | 'rebuild'

/** The maximum over several changes. */
export class ImpactSum {
  readonly #endpoints = new Set<string>()
  #rebuild = false

  add(impact: Impact): void {
    if (impact === 'rebuild') this.#rebuild = true
    else if (impact !== 'ignore') for (const id of impact.endpoints) this.#endpoints.add(id)
  }

  get value(): Impact {
    if (this.#rebuild) return 'rebuild'
    return this.#endpoints.size === 0 ? 'ignore' : { endpoints: [...this.#endpoints].sort() }
  }
}
