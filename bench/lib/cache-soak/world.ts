/**
 * What there is to fetch in the soak of the cache, and which answers are right: things whose content changes, each
 * answer naming its thing, its variant and its version in every 64 bytes of its body.
 */

/** A block of a body; names, and fill. */
const BLOCK = 64
/** Bodies kept for comparisons. */
const KEPT = 256
/**
 * Milliseconds by which an answer may be older than its lifetime: fields of time have whole seconds, and an origin that
 * is slow says what was true when it was asked.
 */
const SLACK = 4_000

export interface Thing {
  readonly index: number
  readonly host: string
  readonly path: string
  readonly bytes: number
  readonly varies: boolean
  /** Seconds. */
  readonly maxAge: number
  readonly staleWhileRevalidate: number
  readonly tag: string
  /** When each version began, by the one clock of the soak; the last one is there now. */
  readonly began: number[]
}

export const VARIANTS = ['de', 'en', 'fr'] as const
const TAGS = 16

export class World {
  readonly things: readonly Thing[]
  readonly #bodies = new Map<string, Buffer>()

  constructor(hosts: readonly string[], each: number, now: number) {
    this.things = hosts.flatMap((host) =>
      Array.from({ length: each }, (_, index) => {
        const chance = mix(index * 2_654_435_761 + host.length)
        return {
          ...{ index, host, path: `/${'abcd'[index % 4]!}/thing-${index}`, bytes: sizeOf(chance) },
          ...{ varies: index % 3 === 0, maxAge: 1 + (index % 3), staleWhileRevalidate: index % 5 === 0 ? 2 : 0 },
          ...{ tag: `tag-${index % TAGS}`, began: [now] },
        }
      }),
    )
  }

  /** All things of a host. */
  of(host: string): readonly Thing[] {
    return this.things.filter((thing) => thing.host === host)
  }

  body(thing: Thing, variant: string, version: number): Buffer {
    const name = `${thing.host}${thing.path} ${thing.varies ? variant : '-'} v${version}`
    const kept = this.#bodies.get(name)
    if (kept !== undefined) return kept
    const body = Buffer.alloc(thing.bytes, ' ')
    for (let at = 0; at < thing.bytes; at += BLOCK)
      body.latin1Write(`${name} @${at}`.padEnd(BLOCK - 1).concat('\n'), at, Math.min(BLOCK, thing.bytes - at))
    if (this.#bodies.size >= KEPT) this.#bodies.delete(this.#bodies.keys().next().value!)
    this.#bodies.set(name, body)
    return body
  }

  etag(thing: Thing, variant: string, version: number): string {
    return `"${thing.index}-${thing.varies ? variant : 'x'}-${version}"`
  }

  /** Why an answer with this version, asked for at this time, is wrong; undefined: it is right. */
  outdated(thing: Thing, version: number, asked: number, floor: number): string | undefined {
    const newest = thing.began.length - 1
    if (!(version >= 0 && version <= newest)) return `version ${version} of ${newest}`
    if (version < floor) return `version ${version} was purged, ${floor} was there`
    const lifetime = (thing.maxAge + thing.staleWhileRevalidate) * 1_000 + SLACK
    const oldest = versionAt(thing, asked - lifetime)
    return version < oldest
      ? `version ${version} is over since ${Math.round(asked - thing.began[version + 1]!)} ms`
      : undefined
  }
}

/** The version that was there at a time. */
export function versionAt(thing: Thing, time: number): number {
  let version = thing.began.length - 1
  while (version > 0 && thing.began[version]! > time) version--
  return version
}

/** The version that a whole body names; NaN where it names none. */
export function versionIn(body: Buffer): number {
  return Number(/ v(\d+) @0/.exec(body.latin1Slice(0, Math.min(BLOCK, body.length)))?.[1] ?? Number.NaN)
}

/** Most are small; a few need many extents. */
function sizeOf(chance: number): number {
  const kind = chance % 100
  const within = (chance >>> 8) & 0xffff
  if (kind < 70) return BLOCK + (within % 8_000)
  if (kind < 95) return 8_000 + within * 3
  return 300_000 + within * 20
}

function mix(value: number): number {
  let x = value >>> 0
  x = Math.imul(x ^ (x >>> 16), 0x45d9f3b)
  x = Math.imul(x ^ (x >>> 16), 0x45d9f3b)
  return (x ^ (x >>> 16)) >>> 0
}
