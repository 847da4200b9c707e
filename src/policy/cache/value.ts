/** `cache`: what a user writes, and what of it a worker gets. */
import type { QueryKeyPlan } from '../../cache/query-key.ts'
import { isWrittenLater } from '../../cache/vary.ts'
import { parseBytes, parseDuration } from '../../lib/quantity.ts'
import { statusRange, statusRangeFault } from '../../lib/status-range.ts'
import type { PolicyProblem } from '../definition.ts'
import { checkTemplate } from '../variables.ts'
import type { CachePlan } from './plan.ts'

/** As it stands in a document; see the schema. */
export interface CacheValue {
  readonly mode?: 'Standard' | 'Override'
  readonly defaultTTL?: string
  readonly maxTTL?: string
  readonly version?: string
  readonly key?: {
    readonly query?: {
      readonly include?: readonly string[]
      readonly exclude?: readonly string[]
      readonly others?: 'Drop' | 'Bypass'
    }
    readonly by?: readonly string[]
  }
  readonly bypass?: readonly string[]
  readonly ttlByCode?: readonly { readonly codes: readonly string[]; readonly ttl: string }[]
  readonly staleWhileRevalidate?: string
  readonly staleIfError?: string
  readonly maxObjectBytes?: number | string
  readonly store?: 'Memory' | 'Redis' | 'Tiered' | 'File'
  readonly tags?: { readonly header: string }
}

const DEFAULT_MAX_OBJECT = 8 * 1024 * 1024

/** What every request has: as a condition it would pass all of them by, and the key has it already. */
const ALWAYS_THERE = /^(client\.ip(\/\d+)?|path|method|host)$/
const IN_KEY = /^(path|method|host)$/

export function* checkCache({ mode, defaultTTL, key, bypass, tags, ...more }: CacheValue): Generator<PolicyProblem> {
  if (mode === 'Override' && defaultTTL === undefined)
    yield { path: ['mode'], message: 'is Override, which needs defaultTTL; state one, or write Standard' }
  for (const [i, selector] of (key?.by ?? []).entries()) {
    const problem = IN_KEY.test(selector)
      ? 'is part of every key; leave it out'
      : namesWritten(selector)
        ? 'is a field that the gateway writes behind the cache, so no key has it; write client.ip or consumer'
        : checkTemplate(`%{${selector}}`)
    if (problem !== undefined) yield { path: ['key', 'by', i], message: problem }
  }
  for (const [i, name] of (key?.query?.exclude ?? []).entries())
    if (name.slice(0, -1).includes('*'))
      yield { path: ['key', 'query', 'exclude', i], message: 'has a * that is not at its end' }
  if (key?.query?.others !== undefined && key.query.include === undefined && key.query.exclude === undefined)
    yield {
      path: ['key', 'query', 'others'],
      message: 'is about the parameters besides include or exclude; state one of them, or leave it out: all count',
    }
  for (const [i, selector] of (bypass ?? []).entries()) {
    const problem = ALWAYS_THERE.test(selector)
      ? 'is part of every request, so that nothing would be stored'
      : checkTemplate(`%{${selector}}`)
    if (problem !== undefined) yield { path: ['bypass', i], message: problem }
  }
  for (const [i, { codes }] of (more.ttlByCode ?? []).entries())
    for (const [j, code] of codes.entries()) {
      const fault = statusRangeFault(code)
      if (fault !== undefined) yield { path: ['ttlByCode', i, 'codes', j], message: fault }
    }
  if (tags !== undefined && /^(set-cookie|cache-control|vary|etag|date|age|expires)$/i.test(tags.header))
    yield {
      path: ['tags', 'header'],
      message: 'is a field with a meaning of its own; choose one such as surrogate-key',
    }
  if (more.maxObjectBytes !== undefined && parseBytes(more.maxObjectBytes) === 0)
    yield { path: ['maxObjectBytes'], message: 'is 0, so that nothing would be stored; write maxTTL: 0s for no cache' }
}

function namesWritten(selector: string): boolean {
  const name = /^header:(.+)$/.exec(selector)?.[1]
  return name !== undefined && isWrittenLater(name.toLowerCase())
}

/** @returns undefined: nothing is stored, which is how a rule leaves an inherited cache */
export function planCache(value: CacheValue): CachePlan | undefined {
  const { mode = 'Standard', version = '', key, bypass = [], ttlByCode = [], store = 'Memory', tags } = value
  if (value.maxTTL !== undefined && parseDuration(value.maxTTL) === 0) return undefined
  const query = planQuery(key?.query)
  return {
    mode,
    ...duration('defaultTtl', value.defaultTTL),
    ...duration('maxTtl', value.maxTTL),
    ttlByCode: ttlByCode.flatMap(({ codes, ttl }) =>
      codes.map((code) => [...statusRange(code), parseDuration(ttl)] as const),
    ),
    ...duration('staleWhileRevalidate', value.staleWhileRevalidate),
    ...duration('staleIfError', value.staleIfError),
    version,
    ...(query === undefined ? {} : { query }),
    // Named in any order they are the same key.
    by: [...(key?.by ?? [])].sort(),
    bypass,
    maxObjectBytes: value.maxObjectBytes === undefined ? DEFAULT_MAX_OBJECT : parseBytes(value.maxObjectBytes),
    store,
    ...(tags === undefined ? {} : { tags: tags.header.toLowerCase() }),
  }
}

function duration<Name extends string>(name: Name, text: string | undefined): { readonly [name in Name]?: number } {
  return text === undefined ? {} : ({ [name]: parseDuration(text) } as { readonly [name in Name]: number })
}

function planQuery(query: NonNullable<CacheValue['key']>['query']): QueryKeyPlan | undefined {
  const { include, exclude, others = 'Drop' } = query ?? {}
  // Named in any order they are the same.
  if (include !== undefined) return { include: include.toSorted(), others }
  return exclude === undefined ? undefined : { exclude: exclude.toSorted(), others }
}
