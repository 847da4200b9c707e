/** Stored responses and requests for tests. */
import assert from 'node:assert/strict'
import { CacheFlag, type CacheNumbers, emptyNumbers } from '../../src/cache/cache-numbers.ts'
import { encodeHead } from '../../src/cache/encode-head.ts'
import { parseHttpDate } from '../../src/cache/http-date.ts'
import { StoredHead } from '../../src/cache/stored-head.ts'
import { Fields } from '../../src/message/fields.ts'

export const NOW = Date.UTC(2026, 10, 29, 12)
export const NOW_DATE = new Date(NOW).toUTCString()

/**
 * Fields as a codec leaves them: spans over bytes, in the spelling in which they were sent. @param lines `Name: value`
 */
export function received(...lines: readonly string[]): Fields {
  const fields = new Fields()
  fields.clear(Buffer.from(lines.map((line) => `${line}\r\n`).join(''), 'latin1'))
  let at = 0
  for (const line of lines) {
    const colon = line.indexOf(':')
    const start = at + colon + 1 + (line[colon + 1] === ' ' ? 1 : 0)
    fields.push(at, at + colon, start, at + line.length)
    at += line.length + 2
  }
  fields.end = at
  return fields
}

/** A head as a store keeps it, somewhere in a larger buffer. */
export function placed(encoded: Buffer | null): StoredHead {
  assert.ok(encoded !== null)
  return new StoredHead().at(Buffer.concat([Buffer.alloc(13, 0xff), encoded, Buffer.alloc(7, 0xff)]), 13)
}

export function storedHead(status: number, ...lines: readonly string[]): StoredHead {
  return placed(encodeHead(status, received(...lines), [], NOW_DATE))
}

/** Of a response that arrived now. */
export function numbersOf(head: StoredHead): CacheNumbers {
  const lastModified = parseHttpDate(head.lastModified ?? '', NOW)
  const date = parseHttpDate(head.date ?? '', NOW)
  const flags = lastModified + 1_000 <= date ? CacheFlag.StrongLastModified : 0
  return { ...emptyNumbers(), status: head.status, received: NOW, born: NOW, date, lastModified, flags }
}

/** `name: value` of each field, in order. */
export function linesOf(fields: Fields): string[] {
  const lines: string[] = []
  fields.forEach((name, value) => {
    lines.push(`${name}: ${value}`)
  })
  return lines
}
