/** What is stored, in the memories of all replicas: what a purge of the same names would concern. */
import type { LookupView, PurgeBody } from '../../admin/caches.ts'
import type { CachedObject } from '../../cache/cached-object.ts'
import type { PurgeRecord } from '../../cache/purge-record.ts'
import { MAX_PURGED_NAMES, purgeRecords } from '../../cache/purge-request.ts'
import type { PeerReply } from '../../store/peers/peer-server.ts'
import { countOf, listOf, numberOf, recordOf, textOf } from './foreign.ts'
import type { ReplicaAnswer } from './replica-questions.ts'

/** What one replica has found. */
export interface Found {
  readonly items: readonly CachedObject[]
  readonly complete: boolean
}

/** A question to another replica. */
export interface LookupQuestion {
  readonly namespaces: readonly string[]
  readonly names: PurgeBody
  /** Of the items, in JSON; the rest is left out. */
  readonly bytes: number
}

/** Bytes of all answers together, and of one. */
const MAX_BYTES = 8 * 1_024 * 1_024
const MAX_ANSWER = 512 * 1_024

export function lookupQuestion(namespaces: readonly string[], names: PurgeBody, replicas: number): LookupQuestion {
  return { namespaces, names, bytes: Math.min(MAX_ANSWER, Math.floor(MAX_BYTES / replicas)) }
}

/** In the order of keys, so that what several replicas have of one stands together. */
export function lookedUp(
  answers: readonly { readonly name: string; readonly answer: Found }[],
): Pick<LookupView, 'items' | 'complete' | 'replicas'> {
  const items = answers.flatMap(({ name, answer }) => answer.items.map((item) => ({ replica: name, ...item })))
  const byKey = [...Map.groupBy(items, ({ key, keyDigest }) => `${key} ${keyDigest}`)]
  if (answers.length > 1) byKey.sort(([a], [b]) => (a < b ? -1 : 1))
  return {
    items: byKey.flatMap(([, same]) => same),
    complete: answers.every(({ answer }) => answer.complete),
    replicas: answers.map(({ name }) => name),
  }
}

/** What another replica asks. Never rejects. */
export async function answerLookup(
  body: unknown,
  find: (records: readonly PurgeRecord[]) => Promise<ReplicaAnswer<Found>>,
): Promise<PeerReply> {
  const question = readQuestion(body)
  if (question === undefined)
    return { ok: false, why: 'it cannot read the question: it runs another version of Headgate' }
  const records: PurgeRecord[] = []
  for (const namespace of question.namespaces) {
    const made = purgeRecords(namespace, question.names)
    if ('fault' in made) return { ok: false, why: made.fault }
    records.push(...made)
    if (records.length > MAX_RECORDS) return { ok: false, why: 'it is asked for too many names at once' }
  }
  const found = await find(records)
  return 'why' in found ? { ok: false, why: found.why } : { ok: true, body: cut(found.answer, question.bytes) }
}

/** @returns undefined: it is no answer */
export function readFound(body: unknown): Found | undefined {
  const value = recordOf(body)
  const items = listOf(value?.items, MAX_ITEMS, readObject)
  return items === undefined ? undefined : { items, complete: value?.complete === true }
}

function cut({ items, complete }: Found, bytes: number): Found {
  let left = bytes
  const fitting = items.findIndex((item) => {
    left -= Buffer.byteLength(JSON.stringify(item)) + 1
    return left < 0
  })
  return fitting === -1 ? { items, complete } : { items: items.slice(0, fitting), complete: false }
}

const MAX_NAMESPACES = 10_000
/** Names in namespaces, of one question. */
const MAX_RECORDS = 8_192
const MAX_ITEMS = 1_000
const MAX_NAME = 8_192

const name = (value: unknown): string | undefined => (value === '' ? undefined : textOf(value, MAX_NAME))

function readQuestion(body: unknown): LookupQuestion | undefined {
  const value = recordOf(body)
  const namespaces = listOf(value?.namespaces, MAX_NAMESPACES, name)
  const bytes = countOf(value?.bytes)
  const names = readNames(recordOf(value?.names))
  if (namespaces === undefined || names === undefined || bytes === undefined) return undefined
  return { namespaces, names, bytes: Math.min(bytes, MAX_ANSWER) }
}

function readNames(value: Readonly<Record<string, unknown>> | undefined): PurgeBody | undefined {
  if (value === undefined) return undefined
  const { all } = value
  const [urls, prefixes, tags] = [value.urls, value.prefixes, value.tags].map((names) =>
    listOf(names, MAX_PURGED_NAMES, name),
  )
  const [route, rule] = [name(value.route), name(value.rule)]
  return {
    ...(urls !== undefined && { urls }),
    ...(prefixes !== undefined && { prefixes }),
    ...(tags !== undefined && { tags }),
    ...(route !== undefined && { route }),
    ...(rule !== undefined && { rule }),
    ...(all === true && { all }),
  }
}

const STATES: readonly CachedObject['state'][] = ['fresh', 'stale', 'purged', 'validated each time']
const SOURCES: readonly CachedObject['lifetimeBy'][] = ['origin', 'estimate', 'policy']
const NUMBERS = ['status', 'bytes', 'age', 'lifetime', 'staleWhileRevalidate', 'staleIfError', 'tags'] as const
const MAX_KEY = 65_536
const MAX_TEXT = 128

function readObject(body: unknown): CachedObject | undefined {
  const value = recordOf(body)
  const key = textOf(value?.key, MAX_KEY)
  const keyDigest = textOf(value?.keyDigest, MAX_TEXT)
  const received = textOf(value?.received, MAX_TEXT)
  const state = STATES.find((one) => one === value?.state)
  const lifetimeBy = SOURCES.find((one) => one === value?.lifetimeBy)
  const numbers = NUMBERS.map((number) => [number, numberOf(value?.[number])] as const)
  if (key === undefined || keyDigest === undefined || received === undefined) return undefined
  if (state === undefined || lifetimeBy === undefined || numbers.some(([, count]) => count === undefined))
    return undefined
  const validator = textOf(value?.validator, MAX_TEXT)
  return {
    ...{ key, keyDigest, received, state, lifetimeBy },
    ...(validator !== undefined && { validator }),
    ...(Object.fromEntries(numbers) as Record<(typeof NUMBERS)[number], number>),
  }
}
