/**
 * Loads a checkpoint from its file and validates it: objects outside of the configured namespaces are dropped.
 */

import { apiVersionOf, isKind, isSensitive, KINDS, type Kind, type KindRow } from '../../api/kinds.ts'
import { member } from '../../api/raw-object.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { type SliceClock, SlicePauses } from '../../lib/time-slice.ts'
import { decodeState } from './state-format.ts'
import type { StateKey } from './state-key.ts'

export interface CheckpointObject {
  readonly kind: Kind
  readonly key: string
  /** As JSON, which takes half the memory of the object and compares fast. */
  readonly text: string
  /**
   * The reference that the object needs to be emitted: `Service shop/api`, or `Namespace` for all namespaces. Undefined
   * when the object is emitted unconditionally.
   */
  readonly reference: string | undefined
}

export interface Checkpoint {
  /** Wall clock time of the write. */
  readonly written: Milliseconds
  /** By {@link objectId}. */
  readonly objects: Map<string, CheckpointObject>
}

/** The process that is going to serve the checkpoint. */
export interface CheckpointConsumer {
  /** Digest of address and CA of the API server. */
  readonly cluster: string
  /** Empty means all. */
  readonly namespaces: readonly string[]
  /** Undefined means that the checkpoint is not encrypted. */
  readonly keys: readonly StateKey[] | undefined
}

const NEWLINE = 0x0a

export function objectId(kind: Kind, key: string): string {
  return `${kind} ${key}`
}

/**
 * @param file is overwritten
 * @throws {TypeError} with the cause when it may not be served
 */
export async function loadCheckpoint(
  file: Buffer,
  consumer: CheckpointConsumer,
  time: SliceClock,
): Promise<Checkpoint> {
  const { header, lines } = await decodeState(file, consumer.keys, time)
  if (header.cluster !== consumer.cluster)
    throw new TypeError('it belongs to another cluster: the address of the API server or its CA differs')
  const missing = missingNamespace(header.namespaces, consumer.namespaces)
  // Requests for hosts of a missing namespace would wrongly get 404.
  if (missing !== undefined) throw new TypeError(`it does not contain ${missing}, which is configured`)
  const allowed = new Set(consumer.namespaces)
  const objects = new Map<string, CheckpointObject>()
  const pauses = new SlicePauses(time)
  for (let at = 0; at < lines.length; ) {
    const newline = lines.indexOf(NEWLINE, at)
    const next = newline === -1 ? lines.length : newline
    const object = parseObject(lines.toString('utf8', at, next))
    at = next + 1
    const { kind, key } = object
    const namespace = key.slice(0, key.indexOf('/'))
    // A user with write access to an unencrypted file must not be able to add payloads.
    const forged = consumer.keys === undefined && isSensitive(kind)
    const wanted = allowed.size === 0 || namespace === '' || allowed.has(namespace)
    if (wanted && !forged) objects.set(objectId(kind, key), object)
    await pauses.next()
  }
  return { written: Date.parse(header.written), objects }
}

function missingNamespace(known: readonly string[], wanted: readonly string[]): string | undefined {
  if (known.length === 0) return undefined
  if (wanted.length === 0) return 'namespaces other than those configured at its write'
  const name = wanted.find((one) => !known.includes(one))
  return name === undefined ? undefined : `namespace ${name}`
}

function parseObject(text: string): CheckpointObject {
  const raw: unknown = parse(text)
  const metadata = member(raw, 'metadata')
  const kind = member(raw, 'kind')
  const name = member(metadata, 'name')
  const namespace = member(metadata, 'namespace')
  if (typeof kind !== 'string' || !isKind(kind)) throw invalidObject()
  if (member(raw, 'apiVersion') !== apiVersionOf(KINDS[kind])) throw invalidObject()
  if (typeof name !== 'string' || typeof namespace !== 'string') throw invalidObject()
  return {
    kind,
    key: `${namespace}/${name}`,
    text,
    reference: referenceOf(kind, namespace, name, metadata),
  }
}

/** The reference under which the source reports an object; undefined if it reports it unconditionally. */
function referenceOf(kind: Kind, namespace: string, name: string, metadata: unknown): string | undefined {
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
    throw invalidObject()
  }
}

function invalidObject(): TypeError {
  return new TypeError('it contains an invalid object')
}
