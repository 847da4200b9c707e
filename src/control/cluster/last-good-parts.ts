/** ConfigMaps that hold one record, in parts where it is large. */
import { createHash } from 'node:crypto'
import type { LastGood } from '../resource-cache.ts'

/** Its value is the installation's name. */
export const LABEL = 'headgate.dev/last-good'

const ANNOTATION = 'headgate.dev/record'
const MEMBER = 'record'

/** What is known of a record without its content. */
export interface Kept {
  /** Of the record as text; empty when it is damaged. */
  readonly digest: string
  /** Of its ConfigMaps. */
  readonly names: readonly string[]
  readonly bytes: number
}

interface Part {
  readonly name: string
  readonly identity: string
  readonly digest: string
  readonly part: number
  readonly count: number
  readonly bytes: Buffer
}

/** Names of objects may be longer than those of ConfigMaps with something before them. */
export function identityOf({ kind, key }: Pick<LastGood, 'kind' | 'key'>): string {
  return createHash('sha256').update(`${kind} ${key}`).digest('hex').slice(0, 32)
}

export function nameOfPart(installation: string, identity: string, part: number): string {
  return `${installation}-last-good-${identity}-${part}`
}

export function partObject(of: {
  readonly namespace: string
  readonly name: string
  readonly installation: string
  readonly wanted: LastGood
  readonly digest: string
  readonly part: number
  readonly count: number
  readonly bytes: Buffer
}): object {
  const { namespace, name, installation, wanted, digest, part, count, bytes } = of
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      namespace,
      name,
      labels: { [LABEL]: installation, 'app.kubernetes.io/managed-by': 'headgate' },
      annotations: {
        'headgate.dev/object': `${wanted.kind} ${wanted.key}`,
        [ANNOTATION]: JSON.stringify({ digest, part, count }),
      },
    },
    // Replaced as a whole: what a person has written there goes.
    binaryData: { [MEMBER]: bytes.toString('base64') },
  }
}

export interface Whole {
  readonly identity: string
  readonly kept: Kept
  readonly content: Buffer
  /** What is wrong with it. */
  readonly broken: string | undefined
}

/** Collects ConfigMaps as a list brings them. */
export class KeptParts {
  readonly #prefix: string
  readonly #parts = new Map<string, Part[]>()

  constructor(installation: string) {
    this.#prefix = `${installation}-last-good-`
  }

  add(json: Buffer): void {
    const part = readPart(json, this.#prefix)
    if (part === undefined) return
    const others = this.#parts.get(part.identity)
    if (others === undefined) this.#parts.set(part.identity, [part])
    else others.push(part)
  }

  *whole(): Generator<Whole> {
    for (const [identity, list] of this.#parts) {
      const parts = list.sort((a, b) => a.part - b.part)
      const content = Buffer.concat(parts.map(({ bytes }) => bytes))
      const { digest, count } = parts[0]!
      const complete = parts.length === count && parts.every((one, i) => one.part === i && one.digest === digest)
      const broken = digest === '' ? 'not a record of this version' : complete ? undefined : 'parts of it are missing'
      const names = parts.map(({ name }) => name)
      // Damaged, it is the same as nothing that is wanted, and is written anew or deleted.
      yield {
        identity,
        kept: { digest: broken === undefined ? digest : '', names, bytes: content.length },
        content,
        broken,
      }
    }
  }
}

function readPart(json: Buffer, prefix: string): Part | undefined {
  const { metadata, binaryData } = fieldsOf(JSON.parse(json.toString('utf8')))
  const { name, annotations } = fieldsOf(metadata)
  // Somebody else's, with our label.
  if (typeof name !== 'string' || !name.startsWith(prefix)) return undefined
  const [identity = '', index = ''] = name.slice(prefix.length).split('-')
  const data = fieldsOf(binaryData)[MEMBER]
  const { digest, count } = record(fieldsOf(annotations)[ANNOTATION])
  return {
    name,
    identity,
    digest: typeof digest === 'string' && typeof data === 'string' ? digest : '',
    part: Number(index),
    count: typeof count === 'number' ? count : 0,
    bytes: Buffer.from(typeof data === 'string' ? data : '', 'base64'),
  }
}

function record(text: unknown): Readonly<Record<string, unknown>> {
  try {
    return fieldsOf(JSON.parse(String(text)))
  } catch {
    return {}
  }
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
}
