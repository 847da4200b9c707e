/**
 * Parses a Kubernetes List incrementally and emits every item as soon as it is complete. A list from the API server's
 * cache cannot be paginated, and parsing 5,000 objects at once would block the thread for a tenth of a second.
 */
import { ApiError } from './api-error.ts'

export interface ListMetadata {
  /** Version of the whole list, where the watch begins. */
  readonly resourceVersion: string
  /** Token of the next page; empty at the end. */
  readonly continue: string
}

const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/** Bytes of the List besides its items. */
const MAX_OTHER = 65_536

/** Nesting depth of the members of an item, counted from the List. */
const ITEM_DEPTH = 3

export class ListReader {
  readonly #limit: number
  readonly #item: (json: Buffer) => void
  #depth = 0
  #inString = false
  #escaped = false
  /** Inside the value of the top-level `items`. */
  #inItems = false
  #itemsSeen = false
  /** The List without its items: `"items":[` and then `]`. */
  #other = ''
  #parts: Buffer[] = []
  #length = 0
  /** Start of the part being collected, within the current chunk. */
  #from = 0
  #over = false

  /**
   * @param limit bytes of one item
   * @param item receives the item's JSON, unparsed
   */
  constructor(limit: number, item: (json: Buffer) => void) {
    this.#limit = limit
    this.#item = item
  }

  /**
   * Scans brackets and strings only; the parser of the items validates the rest.
   *
   * @throws {ApiError} when the text is not a List
   */
  push(chunk: Buffer): void {
    this.#from = 0
    const { length } = chunk
    let i = 0
    while (i < length) {
      if (this.#inString) {
        i = this.#skipString(chunk, i)
        continue
      }
      const byte = chunk[i]!
      if (byte === QUOTE) this.#inString = true
      // Braces and brackets share these bits with no other byte of JSON outside of strings.
      else if ((byte & 0x59) === 0x59) this.#structure(chunk, i, byte)
      else if (byte === COMMA && this.#inItems && this.#depth === 2) {
        this.#betweenItems(chunk, this.#from, i)
        this.#from = i + 1
      }
      i++
    }
    if (this.#from === length) return
    if (!this.#inItems) this.#addOther(chunk, this.#from, length)
    else if (this.#depth >= ITEM_DEPTH) this.#keep(chunk.subarray(this.#from))
    else this.#betweenItems(chunk, this.#from, length)
  }

  /** @returns the index after the string, or the end of the chunk */
  #skipString(chunk: Buffer, from: number): number {
    const { length } = chunk
    let i = this.#escaped ? from + 1 : from
    this.#escaped = false
    while (i < length) {
      const byte = chunk[i]!
      if (byte === QUOTE) {
        this.#inString = false
        return i + 1
      }
      i += byte === BACKSLASH ? 2 : 1
    }
    // The escaped character is in the next chunk.
    this.#escaped = i > length
    return length
  }

  #structure(chunk: Buffer, at: number, byte: number): void {
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      this.#depth++
      if (this.#inItems) {
        if (this.#depth !== ITEM_DEPTH) return
        this.#betweenItems(chunk, this.#from, at)
        this.#from = at
      } else if (this.#depth === 2 && byte === OPEN_BRACKET) {
        this.#addOther(chunk, this.#from, at + 1)
        this.#from = at + 1
        this.#inItems = this.#endsWithItemsKey()
      }
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      this.#depth--
      if (this.#inItems && this.#depth === ITEM_DEPTH - 1) {
        this.#complete(chunk.subarray(this.#from, at + 1))
        this.#from = at + 1
      } else if (this.#inItems && this.#depth === 1) {
        this.#betweenItems(chunk, this.#from, at)
        this.#inItems = false
        this.#from = at
      } else if (this.#depth <= 0) this.#over = true
    }
  }

  /** @throws {ApiError} when the List is incomplete */
  end(): ListMetadata {
    if (!this.#over || this.#depth !== 0) throw notAList('it is cut off')
    let list: { items?: unknown; metadata?: { resourceVersion?: unknown; continue?: unknown } | null }
    try {
      list = JSON.parse(this.#other)
    } catch {
      throw notAList('it is not JSON')
    }
    // An empty list may be encoded as null.
    if (list.items === undefined) throw notAList('it has no items')
    const { resourceVersion, continue: next = '' } = list.metadata ?? {}
    if (typeof resourceVersion !== 'string' || resourceVersion === '' || typeof next !== 'string')
      throw notAList('it has no resourceVersion')
    return { resourceVersion, continue: next }
  }

  #addOther(chunk: Buffer, from: number, to: number): void {
    // Decoded as Latin-1, since a chunk may end within a UTF-8 character. This text is never displayed.
    this.#other += chunk.latin1Slice(from, to)
    if (this.#other.length > MAX_OTHER) throw notAList('there is too much beside its items')
  }

  #endsWithItemsKey(): boolean {
    if (!/"items"\s*:\s*\[$/.test(this.#other)) return false
    if (this.#itemsSeen) throw notAList('it has items twice')
    this.#itemsSeen = true
    return true
  }

  /** Only a comma and white space may separate items. */
  #betweenItems(chunk: Buffer, from: number, to: number): void {
    for (let i = from; i < to; i++) if (chunk[i]! > 0x20) throw notAList('an item is not an object')
  }

  #keep(part: Buffer): void {
    this.#length += part.length
    if (this.#length > this.#limit) throw notAList(`an item is over ${this.#limit / 1_048_576} MiB`)
    this.#parts.push(Buffer.from(part))
  }

  #complete(last: Buffer): void {
    if (this.#length + last.length > this.#limit) throw notAList(`an item is over ${this.#limit / 1_048_576} MiB`)
    const json = this.#parts.length === 0 ? last : Buffer.concat([...this.#parts, last])
    this.#parts = []
    this.#length = 0
    this.#item(json)
  }
}

function notAList(why: string): ApiError {
  return new ApiError(200, 'BadAnswer', `the list cannot be read: ${why}`)
}
