/**
 * What is remembered of a cluster, read from its file and looked through: nothing in it that does not belong here is
 * kept.
 */

import { setImmediate as turn } from 'node:timers/promises'
import { apiVersionOf, isKind, KINDS, type Kind, type KindRow } from '../../api/kinds.ts'
import { member } from '../../api/raw-object.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { decodeState } from './state-format.ts'
import type { StateKey } from './state-key.ts'

/** One object. */
export interface CheckpointObject {
  readonly kind: Kind
  readonly key: string
  /** As JSON: half the memory of what it stands for, and quick to compare. */
  readonly text: string
  /**
   * Told only when this is referred to: `Service shop/api`, or `Namespace`, of which all are. None = told in any case.
   */
  readonly need: string | undefined
}

export interface Checkpoint {
  /** When it was written, by the wall clock of then. */
  readonly written: Milliseconds
  /** By {@link idOf}. */
  readonly objects: Map<string, CheckpointObject>
}

/** Where it is to be served. */
export interface Here {
  /** Digest of address and CA of the API server. */
  readonly cluster: string
  /** None = all. */
  readonly namespaces: readonly string[]
  /** None = nothing is sealed. */
  readonly keys: readonly StateKey[] | undefined
}

const SLICE: Milliseconds = 2
const NEWLINE = 0x0a

export function idOf(kind: Kind, key: string): string {
  return `${kind} ${key}`
}

/**
 * @param file is overwritten
 * @throws {TypeError} with why it may not be served here
 */
export async function recollect(file: Buffer, here: Here): Promise<Checkpoint> {
  const { header, lines } = await decodeState(file, here.keys)
  if (header.cluster !== here.cluster)
    throw new TypeError('it is of another cluster (the address of the API server or its CA is another one)')
  const missing = uncovered(header.namespaces, here.namespaces)
  // Hosts of a namespace that is not remembered would be answered with 404, which would be wrong.
  if (missing !== undefined) throw new TypeError(`it knows nothing about ${missing}, which is to be served, too`)
  const allowed = new Set(here.namespaces)
  const objects = new Map<string, CheckpointObject>()
  let end = performance.now() + SLICE
  for (let at = 0; at < lines.length; ) {
    const newline = lines.indexOf(NEWLINE, at)
    const next = newline === -1 ? lines.length : newline
    const one = rememberedOf(lines.toString('utf8', at, next))
    at = next + 1
    const namespace = one.key.slice(0, one.key.indexOf('/'))
    if (allowed.size === 0 || namespace === '' || allowed.has(namespace)) objects.set(idOf(one.kind, one.key), one)
    if (performance.now() < end) continue
    await turn()
    end = performance.now() + SLICE
  }
  return { written: Date.parse(header.written), objects }
}

function uncovered(known: readonly string[], wanted: readonly string[]): string | undefined {
  if (known.length === 0) return undefined
  if (wanted.length === 0) return 'namespaces other than those watched then'
  const name = wanted.find((one) => !known.includes(one))
  return name === undefined ? undefined : `namespace ${name}`
}

function rememberedOf(text: string): CheckpointObject {
  const raw: unknown = parse(text)
  const metadata = member(raw, 'metadata')
  const kind = member(raw, 'kind')
  const name = member(metadata, 'name')
  const namespace = member(metadata, 'namespace')
  if (typeof kind !== 'string' || !isKind(kind)) throw unusable()
  if (member(raw, 'apiVersion') !== apiVersionOf(KINDS[kind])) throw unusable()
  if (typeof name !== 'string' || typeof namespace !== 'string') throw unusable()
  return {
    kind,
    key: `${namespace}/${name}`,
    text,
    need: needOf(kind, namespace, name, metadata),
  }
}

/** What must be referred to for an object of a cluster to be told. */
function needOf(kind: Kind, namespace: string, name: string, metadata: unknown): string | undefined {
  const { read }: KindRow = KINDS[kind]
  if (read === 'always') return undefined
  if (read === 'collection') return kind
  if (read === 'referenced') return `${kind} ${namespace}/${name}`
  return `${read.of} ${namespace}/${member(member(metadata, 'labels'), read.label)}`
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw unusable()
  }
}

function unusable(): TypeError {
  return new TypeError('it holds something that is not an object of a cluster')
}
