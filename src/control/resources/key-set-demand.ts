/** Which key sets the objects that are served use, and in which namespaces they may. */
import type { ReferenceGraph } from '../../compile/reference-graph.ts'
import { KEY_SET } from '../../policy/auth/key-set.ts'

/** What is known of a key set. */
export interface KeySetVersion {
  /** A JSON Web Key Set in memory that threads share: another array after each change. Absent: none may be used. */
  readonly bytes?: Uint8Array
  /** Of the metadata, where it was asked. */
  readonly issuer?: string
  /** A clause: what is wrong. */
  readonly fault?: string
  /** What an earlier control thread may have delivered of it is not to be used either. */
  readonly void: boolean
  /** Whose part of what is delivered it takes. */
  readonly owner: string
}

/** Whether a namespace may have an address fetched; the settings are the empty one. */
export type MayFetch = (namespace: string, url: string) => boolean

export class KeySetDemand {
  readonly #graph: ReferenceGraph
  readonly #mayFetch: MayFetch
  readonly #want: (url: string, namespaces: readonly string[]) => void
  readonly #wanted = new Map<string, string>()
  readonly #versions = new Map<string, KeySetVersion>()

  /** @param want is called with all namespaces that use it and may; none: it is not wanted any more */
  constructor(graph: ReferenceGraph, mayFetch: MayFetch, want: (url: string, namespaces: readonly string[]) => void) {
    this.#graph = graph
    this.#mayFetch = mayFetch
    this.#want = want
  }

  mayUse(namespace: string, url: string): boolean {
    return this.#mayFetch(namespace, url)
  }

  /** Those that are used. */
  urls(): Iterable<string> {
    return this.#wanted.keys()
  }

  learn(url: string, version: KeySetVersion): void {
    if (this.#wanted.has(url)) this.#versions.set(url, version)
  }

  version(url: string): KeySetVersion | undefined {
    return this.#versions.get(url)
  }

  /** Brings in line what is wanted of it. */
  update(url: string): void {
    const users = [...this.#graph.requirements(KEY_SET, `/${url}`)].map(({ sharedWith = '' }) => sharedWith)
    const namespaces = [...new Set(users)].filter((one) => this.#mayFetch(one, url)).sort()
    const text = namespaces.join()
    if (users.length === 0) {
      this.#wanted.delete(url)
      this.#versions.delete(url)
    } else {
      if (this.#wanted.get(url) === text) return
      this.#wanted.set(url, text)
      if (namespaces.length === 0) this.#versions.delete(url)
    }
    this.#want(url, namespaces)
  }
}
