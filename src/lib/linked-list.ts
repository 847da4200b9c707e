/**
 * A list from which an entry can be removed anywhere, in constant time: a `Map` whose first keys go is searched past
 * the gaps.
 */
export class LinkedList<T> {
  #first: Link<T> | null = null
  #last: Link<T> | null = null
  #size = 0

  get size(): number {
    return this.#size
  }

  get first(): T | undefined {
    return this.#first?.value
  }

  /** @returns what {@link LinkedList.remove} takes */
  push(value: T): Link<T> {
    const link: Link<T> = { value, earlier: this.#last, later: null, list: this }
    if (this.#last === null) this.#first = link
    else this.#last.later = link
    this.#last = link
    this.#size++
    return link
  }

  /** @returns false when it is not in this list (any more) */
  remove(link: Link<T>): boolean {
    if (link.list !== this) return false
    if (link.earlier === null) this.#first = link.later
    else link.earlier.later = link.later
    if (link.later === null) this.#last = link.earlier
    else link.later.earlier = link.earlier
    link.list = null
    link.earlier = null
    link.later = null
    this.#size--
    return true
  }
}

/** Its fields belong to the list. */
export interface Link<T> {
  readonly value: T
  earlier: Link<T> | null
  later: Link<T> | null
  list: LinkedList<T> | null
}
