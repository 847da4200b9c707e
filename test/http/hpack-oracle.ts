/** Slow, obvious decoder of RFC 7541 on arrays of strings, and the rules of RFC 9113 for fields as expressions. */
import { STATIC_ENTRIES } from '../../src/http/hpack-static-table.ts'
import { decodeHuffman } from '../../src/http/huffman.ts'
import type { List } from './hpack-lists.ts'

class Undecodable extends Error {}

export class SlowDecoder {
  /** The newest first. */
  readonly entries: (readonly [string, string])[] = []
  maxSize = 4096

  /** @returns null: a connection error */
  decode(block: Buffer): List | null {
    const list: (readonly [string, string])[] = []
    let at = 0
    const integer = (bits: number): number => {
      const mask = 2 ** bits - 1
      let value = block[at++]! & mask
      if (value < mask) return value
      for (let octet = 0; ; octet++) {
        if (at >= block.length || octet === 4) throw new Undecodable()
        const byte = block[at++]!
        value += (byte & 127) * 128 ** octet
        if (byte < 128) return value
      }
    }
    const text = (): string => {
      if (at >= block.length) throw new Undecodable()
      const huffman = block[at]! >= 128
      const length = integer(7)
      if (at + length > block.length) throw new Undecodable()
      const bytes = block.subarray(at, at + length)
      at += length
      if (!huffman) return bytes.toString('latin1')
      const out = Buffer.alloc(length * 2)
      const end = decodeHuffman(bytes, 0, length, out, 0)
      if (end < 0) throw new Undecodable()
      return out.toString('latin1', 0, end)
    }
    const entry = (index: number): readonly [string, string] => {
      const found = index < 62 ? STATIC_ENTRIES[index - 1] : this.entries[index - 62]
      if (found === undefined) throw new Undecodable()
      return found
    }
    try {
      while (at < block.length) {
        const byte = block[at]!
        if (byte >= 128) list.push(entry(integer(7)))
        else if (byte >= 64 || byte < 32) {
          const index = integer(byte >= 64 ? 6 : 4)
          const name = index === 0 ? text() : entry(index)[0]
          const field = [name, text()] as const
          list.push(field)
          if (byte >= 64) {
            this.entries.unshift(field)
            this.#evict()
          }
        } else {
          this.maxSize = integer(5)
          if (list.length > 0 || this.maxSize > 4096) throw new Undecodable()
          this.#evict()
        }
      }
      return list
    } catch (error) {
      if (error instanceof Undecodable) return null
      throw error
    }
  }

  get size(): number {
    return this.entries.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0)
  }

  #evict(): void {
    while (this.size > this.maxSize) this.entries.pop()
  }
}

const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/
const VALUES: Readonly<Record<string, RegExp>> = {
  ':method': /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/,
  ':scheme': /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/,
  ':protocol': /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/,
  ':path': /^[!-"$-~]+$/,
  ':authority': /^[!-"$-~]*$/,
}
const VALUE = /^(?![\t ])[\t\x20-\x7e\x80-\xff]*(?<![\t ])$/

/** Whether a request may have these fields in this order (RFC 9113 §8.2, §8.3). */
export function isRequest(list: List): boolean {
  let regular = false
  const seen = new Set<string>()
  for (const [name, value] of list) {
    if (!name.startsWith(':')) {
      regular = true
      if (!NAME.test(name) || !VALUE.test(value)) return false
      continue
    }
    if (regular || seen.has(name) || VALUES[name]?.test(value) !== true) return false
    seen.add(name)
  }
  return true
}
