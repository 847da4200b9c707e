/**
 * A fixed number of ConfigMaps that hold records together, so that a role can name them and they can never fill the API
 * server's store. A record is compressed, and cut where no ConfigMap has room for all of it.
 */
import { createHash } from 'node:crypto'
import type { LastGood } from '../../thread/retained-state.ts'

export const SHARDS = 8

/** Bytes of content: 1 MiB is the limit of the API; Base64 makes a third more of it, and still stays below. */
export const SHARD_BYTES = 700 * 1_024

/** Pieces smaller than this are not worth a member. */
const LEAST_PIECE = 4 * 1_024

/** Of one ConfigMap: with the shortest records there is no room for more. */
const MAX_MEMBERS = 4_400

/** `record.DIGEST.PART.COUNT`, where the identity comes first. */
const MEMBER = /^([0-9a-f]{32})\.([0-9a-f]{64})\.(\d{1,3})\.(\d{1,3})$/

export function identityOf({ kind, key }: Pick<LastGood, 'kind' | 'key'>): string {
  return createHash('sha256').update(`${kind} ${key}`).digest('hex').slice(0, 32)
}

/** The first has no number: it is the one that there is nearly always. */
export function shardName(installation: string, shard: number): string {
  return shard === 0 ? `${installation}-last-good` : `${installation}-last-good-${shard}`
}

/**
 * The last one is for hostnames alone: they are small, and broken Routes of one tenant, which need not be, must not
 * keep another from having its own back after a restart.
 */
export function shardsFor(kind: LastGood['kind']): number {
  return kind === 'Hostname' ? SHARDS : SHARDS - 1
}

/** One ConfigMap. */
export interface Shard {
  /** Undefined when it is not there. */
  resourceVersion: string | undefined
  readonly members: Map<string, Buffer>
  /** What is known differs from what is there. */
  dirty: boolean
}

export interface Kept {
  readonly identity: string
  /** Of the record as text. */
  readonly digest: string
  readonly content: Buffer
  /** What is wrong with it; undefined when it can be opened. */
  readonly broken: string | undefined
}

export class LastGoodShards {
  readonly #shards: readonly Shard[] = Array.from({ length: SHARDS }, () => emptyShard())

  at(shard: number): Shard {
    return this.#shards[shard]!
  }

  *dirty(): Generator<readonly [number, Shard]> {
    for (const [i, shard] of this.#shards.entries()) if (shard.dirty) yield [i, shard]
  }

  /** @param object as the API server sent it; undefined when it is not there. What is not ours in it is overwritten. */
  load(shard: number, object: unknown): void {
    const state = this.at(shard)
    const { metadata, binaryData, data } = fieldsOf(object)
    const { resourceVersion } = fieldsOf(metadata)
    state.members.clear()
    state.resourceVersion = typeof resourceVersion === 'string' ? resourceVersion : undefined
    state.dirty = Object.keys(fieldsOf(data)).length > 0
    for (const [name, value] of Object.entries(fieldsOf(binaryData))) {
      const ours = state.members.size < MAX_MEMBERS && MEMBER.test(name)
      if (ours && typeof value === 'string') state.members.set(name, Buffer.from(value, 'base64'))
      else state.dirty = true
    }
  }

  *records(): Generator<Kept> {
    const pieces = new Map<string, { readonly part: number; readonly count: number; readonly bytes: Buffer }[]>()
    for (const { members } of this.#shards)
      for (const [name, bytes] of members) {
        const [, identity = '', digest = '', part, count] = MEMBER.exec(name) ?? []
        const id = `${identity}.${digest}`
        const list = pieces.get(id) ?? []
        pieces.set(id, list)
        list.push({ part: Number(part), count: Number(count), bytes })
      }
    for (const [id, list] of pieces) {
      list.sort((a, b) => a.part - b.part)
      const whole =
        list.length === list[0]!.count && list.every(({ part, count }, i) => part === i && count === list.length)
      const [identity = '', digest = ''] = id.split('.')
      const content = Buffer.concat(list.map(({ bytes }) => bytes))
      yield { identity, digest, content, broken: whole ? undefined : 'parts of it are missing' }
    }
  }

  /**
   * @param shards how many of them it may use, see {@link shardsFor}
   * @returns whether there was room; where there was none, nothing of the record is left
   */
  put(identity: string, digest: string, content: Buffer, shards: number): boolean {
    this.drop(identity)
    const pieces = this.#divide(content, this.#shards.slice(0, shards))
    if (pieces === undefined) return false
    pieces.forEach(({ shard, bytes }, part) => {
      shard.members.set(`${identity}.${digest}.${part}.${pieces.length}`, bytes)
      shard.dirty = true
    })
    return true
  }

  drop(identity: string): void {
    for (const shard of this.#shards)
      for (const name of shard.members.keys())
        if (name.startsWith(`${identity}.`)) {
          shard.members.delete(name)
          shard.dirty = true
        }
  }

  /** In one piece where that is possible. */
  #divide(content: Buffer, shards: readonly Shard[]): { readonly shard: Shard; readonly bytes: Buffer }[] | undefined {
    const roomy = shards.find((shard) => roomIn(shard) >= content.length)
    if (roomy !== undefined) return [{ shard: roomy, bytes: content }]
    const pieces: { shard: Shard; bytes: Buffer }[] = []
    let at = 0
    for (const shard of shards) {
      const room = roomIn(shard)
      if (room < LEAST_PIECE) continue
      pieces.push({ shard, bytes: content.subarray(at, at + room) })
      at += room
      if (at >= content.length) return pieces
    }
    return undefined
  }
}

/** @param owner whose end is its end too */
export function shardObject(
  namespace: string,
  name: string,
  installation: string,
  shard: Shard,
  owner?: object,
): object {
  const { resourceVersion, members } = shard
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      namespace,
      name,
      labels: {
        'app.kubernetes.io/managed-by': 'headgate',
        'app.kubernetes.io/instance': installation,
        'app.kubernetes.io/component': 'last-good',
      },
      ...(resourceVersion !== undefined && { resourceVersion }),
      ...(owner !== undefined && { ownerReferences: [owner] }),
    },
    binaryData: Object.fromEntries([...members].map(([member, bytes]) => [member, bytes.toString('base64')])),
  }
}

function emptyShard(): Shard {
  return { resourceVersion: undefined, members: new Map(), dirty: false }
}

/** Names of members count, too. */
function roomIn({ members }: Shard): number {
  let room = SHARD_BYTES
  for (const [name, bytes] of members) room -= bytes.length + name.length
  return room - 128
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
}
