/** By what the requests of a limit are told apart. */
import { hash } from 'node:crypto'
import { networkOf } from '../client-network.ts'
import type { Exchange } from '../exchange.ts'
import { type ValueReader, valueReader } from '../variables.ts'

/** Longer ones, such as whole header fields, are replaced by a digest. */
const MAX_KEY = 256
/** The network of one customer, where a key is missing. */
const CUSTOMER_BITS = 64

export type KeyReader = (x: Exchange) => string | undefined

/** @returns undefined where a value is missing */
export function keyReader(by: readonly string[]): KeyReader {
  const readers = by.map(valueReader)
  const [first] = readers
  if (first === undefined) throw new TypeError('a limit is by something')
  if (readers.length > 1) return (x) => joined(x, readers)
  return (x) => {
    const value = first(x)
    return value === undefined ? undefined : short(value)
  }
}

function joined(x: Exchange, readers: readonly ValueReader[]): string | undefined {
  let key = ''
  for (const reader of readers) {
    const value = reader(x)
    if (value === undefined) return undefined
    // With its length, so that no two lists of values are one key.
    key += `${value.length} ${short(value)}\n`
  }
  return key
}

/** Where a key is missing; an IPv6 client counts by its network, since it has the others of it, too. */
export function clientKey(x: Exchange): string {
  return `client\n${networkOf(x.clientAddress, CUSTOMER_BITS)}`
}

/** No value passes for a list of them, or for what stands where one is missing: only those have line breaks. */
function short(value: string): string {
  return value.length > MAX_KEY || value.includes('\n') ? hash('sha256', value, 'base64') : value
}
