/**
 * The last purge of each name in a namespace, hard or soft. Whatever was purged how often: an object is judged by a
 * look-up for each of its labels. What there is no room for is forgotten, the oldest first, and objects that have not
 * been judged since count as purged.
 */
import { eachPrefix, parameterLabels, pathLabel, queryMatch } from './purge-labels.ts'
import { labelsOf, type PurgeRecord } from './purge-record.ts'

/** Purges by URL of one path; more are one purge of the path with whatever query. */
const MAX_QUERIES = 32

interface UrlPurges {
  /** The last one of any. */
  last: number
  /** The last one of whatever query. */
  any: number
  /** By the labels of their parameters. */
  readonly queries: Map<string, number>
}

export class PurgeTable {
  /** The last purge of the whole namespace, and the last one forgotten. */
  #all = 0
  #forgotten = 0
  /** All in the order of their last purge. */
  readonly #labels = new Map<number, number>()
  readonly #prefixes = new Map<number, number>()
  readonly #urls = new Map<number, UrlPurges>()

  /** Names that are remembered. */
  get size(): number {
    return this.#labels.size + this.#prefixes.size + this.#urls.size
  }

  add({ kind, label, exact, text }: PurgeRecord, sequence: number): void {
    switch (kind) {
      case 'all':
        this.#all = Math.max(this.#all, sequence)
        return
      case 'label':
        return renew(this.#labels, label, sequence)
      case 'labels':
        for (const one of labelsOf(text)) renew(this.#labels, one, sequence)
        return
      case 'prefix':
        return renew(this.#prefixes, label, sequence)
      case 'url':
        renew(this.#labels, exact, sequence)
        return this.#addUrl(label, text, sequence)
      default:
    }
  }

  #addUrl(path: number, parameters: string, sequence: number): void {
    const purges = this.#urls.get(path) ?? { last: 0, any: 0, queries: new Map<string, number>() }
    this.#urls.delete(path)
    this.#urls.set(path, purges)
    purges.last = Math.max(purges.last, sequence)
    renew(purges.queries, parameters, sequence)
    if (purges.queries.size <= MAX_QUERIES) return
    purges.queries.clear()
    purges.any = purges.last
  }

  /**
   * Forgets the names that were purged last the longest ago. Many at a time: what is deleted from the front of a map is
   * passed over by each walk that begins there.
   */
  dropOldest(count: number): void {
    const walks = [this.#labels, this.#prefixes, this.#urls].map((map) => new Walk(map))
    for (let left = count; left > 0; left--) {
      const oldest = walks.reduce((a, b) => (b.last < a.last ? b : a))
      if (oldest.last === Number.POSITIVE_INFINITY) return
      this.#forgotten = Math.max(this.#forgotten, oldest.last)
      oldest.drop()
    }
  }

  /** Whether an object was purged behind a sequence. */
  purges(since: number, labels: Float64Array, count: number, url: () => string): boolean {
    if (this.#all > since || this.#forgotten > since) return true
    for (let i = 0; i < count; i++) if ((this.#labels.get(labels[i]!) ?? 0) > since) return true
    if (this.#prefixes.size > 0 && eachPrefix(url(), (label) => (this.#prefixes.get(label) ?? 0) > since)) return true
    return queryMatch(labels) !== 'exact' && this.#purgesUrl(since, labels, url)
  }

  /**
   * A key that holds some parameters only belongs to a URL if all of them stand there: which of the others it would
   * have held is not known here.
   */
  #purgesUrl(since: number, labels: Float64Array, url: () => string): boolean {
    const purges = this.#urls.get(pathLabel(labels))
    if (purges === undefined || purges.last <= since) return false
    if (purges.any > since || queryMatch(labels) === 'any') return true
    const text = url()
    const question = text.indexOf('?')
    const own = question === -1 ? [] : parameterLabels(text.slice(question + 1))
    for (const [parameters, sequence] of purges.queries) {
      if (sequence <= since) continue
      const stated = new Set(parameters.split(' '))
      if (own.every((parameter) => stated.has(parameter))) return true
    }
    return false
  }
}

/** Over the names of a map in the order of their last purge. */
class Walk {
  /** Of the one that is next. */
  last = Number.POSITIVE_INFINITY
  readonly #map: Map<number, number | UrlPurges>
  readonly #entries: Iterator<[number, number | UrlPurges]>
  #name = 0

  constructor(map: Map<number, number> | Map<number, UrlPurges>) {
    this.#map = map as Map<number, number | UrlPurges>
    this.#entries = this.#map.entries()
    this.#next()
  }

  drop(): void {
    this.#map.delete(this.#name)
    this.#next()
  }

  #next(): void {
    const { done, value } = this.#entries.next()
    if (done === true) {
      this.last = Number.POSITIVE_INFINITY
      return
    }
    const [name, purges] = value
    this.#name = name
    this.last = typeof purges === 'number' ? purges : purges.last
  }
}

function renew<Key>(map: Map<Key, number>, key: Key, sequence: number): void {
  const before = map.get(key) ?? 0
  map.delete(key)
  map.set(key, Math.max(before, sequence))
}
