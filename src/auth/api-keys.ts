/**
 * API keys as a Secret lists them: by consumer the digests of its keys, never the keys. A key is random and long, so
 * one round of SHA-256 hides it; who reads the Secret cannot use what it says.
 */
import { hash } from 'node:crypto'

export interface ApiKey {
  readonly consumer: string
  /** Milliseconds since the epoch; infinity = never. */
  readonly expires: number
  /** What rules of `authorization` may ask for, by name. */
  readonly labels: Readonly<Record<string, string>>
}

/** By the SHA-256 of the key, in hexadecimal. */
export type ApiKeys = ReadonlyMap<string, ApiKey>

export interface ApiKeysFault {
  /** A clause: what is wrong and what to do. It never has a part of a key. */
  readonly fault: string
}

/** Of one Secret, which has a megabyte at most. */
export const MAX_API_KEYS = 10_000
/** Characters of a key as it is sent. */
export const MAX_API_KEY = 1_024

const DIGEST = /^sha256:([0-9a-f]{64})$/
const LABEL = /^([A-Za-z][-A-Za-z0-9_]{0,62})=([!-~]{1,256})$/
/** RFC 3339, in UTC: a time zone that is forgotten would be another time on another machine. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/

/**
 * @param entries consumer and text: a line for each of its keys, `sha256:DIGEST` and then `expires=TIME` and labels
 *   with spaces between them; empty lines and those that begin with # are for people
 */
export function parseApiKeys(entries: Iterable<readonly [string, string]>): ApiKeys | ApiKeysFault {
  const keys = new Map<string, ApiKey>()
  for (const [consumer, text] of entries)
    for (const [i, line] of text.split('\n').entries()) {
      const words = line.split(/\s+/).filter((word) => word !== '')
      if (words.length === 0 || words[0]!.startsWith('#')) continue
      const read = readLine(consumer, words)
      const where = `line ${i + 1} of ${consumer}`
      if (typeof read === 'string') return { fault: `${where} ${read}` }
      if (keys.has(read.digest)) return { fault: `${where} is a key that is listed twice; give each consumer its own` }
      if (keys.size === MAX_API_KEYS) return { fault: `it has more than ${MAX_API_KEYS} keys; use several Secrets` }
      keys.set(read.digest, read.key)
    }
  return keys
}

/** @returns what is wrong, as the end of a sentence about the line */
function readLine(
  consumer: string,
  words: readonly string[],
): { readonly digest: string; readonly key: ApiKey } | string {
  const digest = DIGEST.exec(words[0]!)?.[1]
  if (digest === undefined)
    return 'does not begin with sha256: and 64 hexadecimal digits; store the digest of the key (printf %s KEY | sha256sum), never the key'
  if (PUBLISHED.has(digest)) return 'is the digest of a key that everybody tries first; make a random one'
  let expires = Number.POSITIVE_INFINITY
  const labels: Record<string, string> = Object.create(null)
  for (const [i, word] of words.slice(1).entries()) {
    const [, name, value] = LABEL.exec(word) ?? []
    // Not said which: it may be the key itself.
    if (name === undefined || Object.hasOwn(labels, name))
      return `has a word (number ${i + 2}) that is no label=value of its own`
    if (name !== 'expires') labels[name] = value!
    else if (TIME.test(value!) && !Number.isNaN(Date.parse(value!))) expires = Date.parse(value!)
    else return 'has no time in expires; write it as 2027-01-31T00:00:00Z'
  }
  return { digest, key: { consumer, expires, labels } }
}

/** What is not random at all. */
const PUBLISHED: ReadonlySet<string> = new Set(
  ['', 'secret', 'changeme', 'password', 'test', 'key', 'api-key', 'apikey', '123456', 'admin'].map(digestOf),
)

/** Of a key as it was sent. */
export function digestOf(key: string): string {
  return hash('sha256', key, 'hex')
}

/** The form in which workers get them. */
export function writeApiKeys(keys: ApiKeys): string {
  return JSON.stringify([...keys].map(([digest, { consumer, expires, labels }]) => [digest, consumer, expires, labels]))
}

/** @param text of {@link writeApiKeys} */
export function readApiKeys(text: string): ApiKeys {
  const rows = JSON.parse(text) as [string, string, number | null, Record<string, string>][]
  return new Map(
    rows.map(([digest, consumer, expires, labels]) => [
      digest,
      // JSON has no infinity.
      { consumer, expires: expires ?? Number.POSITIVE_INFINITY, labels },
    ]),
  )
}
