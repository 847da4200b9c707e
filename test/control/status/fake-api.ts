/**
 * An API server in memory: versions, conflicts, what is not there, what is not valid, server-side apply as far as one
 * manager for each field goes, and every way of not answering. The methods are those of KubernetesClient.
 */
import { ApiError } from '../../../src/source/kubernetes/api-error.ts'

export type Verb = 'get' | 'list' | 'create' | 'update' | 'apply' | 'mergePatch' | 'delete'

export interface Call {
  readonly verb: Verb
  readonly path: string
  readonly body: unknown
}

interface Meta {
  name: string
  namespace: string
  uid?: string
  resourceVersion?: string
  generation?: number
  labels?: Record<string, string>
  [field: string]: unknown
}
export interface Stored {
  metadata: Meta
  [field: string]: unknown
}

/** What stands between a client and the server. */
export interface Line {
  /** Before the server sees a request: throw, or wait. */
  there?(call: Call): Promise<void> | void
  /** After the server has done it: throw, or wait. */
  back?(call: Call): Promise<void> | void
}

export class FakeApi {
  readonly objects = new Map<string, Stored>()
  readonly calls: Call[] = []
  /** Throws what the server refuses. */
  refuse: (call: Call, stored: Stored | undefined) => void = () => {}
  #version = 0

  /** Puts an object there as if somebody else had done it. */
  put(path: string, object: Omit<Stored, 'metadata'> & { metadata?: Partial<Meta> }): Stored {
    const before = this.objects.get(path)
    const [name = '', , namespace = ''] = path.split('/').reverse()
    const metadata = {
      name,
      namespace,
      uid: before?.metadata.uid ?? `uid-${++this.#version}`,
      ...object.metadata,
      resourceVersion: String(++this.#version),
    }
    const stored = { ...object, metadata } as Stored
    this.objects.set(path, stored)
    return structuredClone(stored)
  }

  countOf(...verbs: Verb[]): number {
    return this.calls.filter(({ verb }) => verbs.includes(verb)).length
  }

  client(line: Line = {}) {
    const ask = async <T>(call: Call, act: () => T): Promise<T> => {
      await line.there?.(call)
      this.calls.push(call)
      this.refuse(call, this.objects.get(call.path))
      const answer = act()
      await line.back?.(call)
      return structuredClone(answer)
    }
    return {
      get: (path: string) => ask({ verb: 'get', path, body: undefined }, () => this.#find(path)),
      create: (path: string, body: unknown) =>
        ask({ verb: 'create', path, body }, () => this.#create(path, structuredClone(body) as Stored)),
      update: (path: string, body: unknown) =>
        ask({ verb: 'update', path, body }, () => this.#update(path, structuredClone(body) as Stored)),
      apply: (path: string, body: unknown, _: { fieldManager: string; force?: boolean }) =>
        ask({ verb: 'apply', path, body }, () => this.#apply(path, structuredClone(body) as Stored)),
      mergePatch: (path: string, body: unknown) =>
        ask({ verb: 'mergePatch', path, body }, () =>
          this.#store(path, merge(this.#find(path), structuredClone(body)) as Stored),
        ),
      delete: (path: string) =>
        ask({ verb: 'delete', path, body: undefined }, () => {
          this.#find(path)
          this.objects.delete(path)
          return { kind: 'Status', status: 'Success' }
        }),
      list: async (
        path: string,
        query: { labelSelector?: string },
        sink: { item(json: Buffer): void },
        _: AbortSignal,
      ) => {
        const items = await ask({ verb: 'list', path, body: query }, () => this.#list(path, query.labelSelector))
        for (const item of items) sink.item(Buffer.from(JSON.stringify(item)))
        return { resourceVersion: String(this.#version), continue: '' }
      },
    }
  }

  #find(path: string): Stored {
    const stored = this.objects.get(path)
    if (stored === undefined) throw new ApiError(404, 'NotFound', `${path} not found`)
    return stored
  }

  #list(path: string, selector = ''): Stored[] {
    const wanted = selector
      .split(',')
      .filter(Boolean)
      .map((term) => term.split('='))
    return [...this.objects]
      .filter(([key]) => key.startsWith(`${path}/`))
      .map(([, stored]) => stored)
      .filter(({ metadata }) => wanted.every(([key = '', value]) => metadata.labels?.[key] === value))
  }

  #create(collection: string, object: Stored): Stored {
    const path = `${collection}/${object.metadata.name}`
    if (this.objects.has(path)) throw new ApiError(409, 'AlreadyExists', `${path} already exists`)
    object.metadata.uid = `uid-${++this.#version}`
    return this.#store(path, object)
  }

  #update(path: string, object: Stored): Stored {
    this.#sameVersion(this.#find(path), object)
    return this.#store(path, object)
  }

  #apply(path: string, object: Stored): Stored {
    if (!path.endsWith('/status')) {
      const before = this.objects.get(path)
      if (before !== undefined) this.#sameVersion(before, object)
      return this.#store(path, { ...before, ...object, metadata: { ...before?.metadata, ...object.metadata } })
    }
    const of = path.slice(0, -'/status'.length)
    const before = this.#find(of)
    this.#sameVersion(before, object)
    return this.#store(of, { ...before, status: object.status })
  }

  #sameVersion(before: Stored, object: Stored): void {
    const { resourceVersion } = object.metadata
    if (resourceVersion !== undefined && resourceVersion !== before.metadata.resourceVersion)
      throw new ApiError(
        409,
        'Conflict',
        'the object has been modified; please apply your changes to the latest version',
      )
  }

  /** What changes nothing gets no new version. */
  #store(path: string, object: Stored): Stored {
    const before = this.objects.get(path)
    const { resourceVersion: _, ...metadata } = object.metadata
    const next = { ...object, metadata: { ...metadata, uid: before?.metadata.uid ?? metadata.uid } } as Stored
    if (before !== undefined && sameBut(before, next)) return before
    next.metadata.resourceVersion = String(++this.#version)
    this.objects.set(path, next)
    return next
  }
}

function sameBut(a: Stored, b: Stored): boolean {
  const text = ({ metadata, ...rest }: Stored): string => {
    const { resourceVersion: _, ...others } = metadata
    return JSON.stringify([Object.entries(others).sort(), Object.entries(rest).sort()])
  }
  return text(a) === text(b)
}

/** RFC 7396. */
function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch
  const result: Record<string, unknown> = { ...(typeof target === 'object' && target !== null ? target : {}) }
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key]
    else result[key] = merge(result[key], value)
  }
  return result
}

export const unreachable = () => new ApiError(0, 'Unreachable', 'connection refused')
