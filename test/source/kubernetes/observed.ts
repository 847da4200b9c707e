/** Runs one reflector on a fake API server and records the calls of its handler. */
import assert from 'node:assert/strict'
import type { Kind } from '../../../src/api/kinds.ts'
import { KubernetesClient } from '../../../src/source/kubernetes/client.ts'
import { StaticCredentials } from '../../../src/source/kubernetes/credentials.ts'
import type { Ingested } from '../../../src/source/kubernetes/ingest.ts'
import { Reflector } from '../../../src/source/kubernetes/reflector.ts'
import type { ReflectorFailure, ReflectorOptions } from '../../../src/source/kubernetes/reflector-options.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { type Asked, FakeApi, type FakeApiOptions } from './fake-api.ts'
import { QUICK } from './world.ts'

export class RecordingHandler {
  /** `upsert shop/a`, `delete shop/a`, `synced`, in order. */
  readonly calls: string[] = []
  readonly objects = new Map<string, Ingested>()
  readonly failures: (ReflectorFailure | undefined)[] = []
  readonly handlerErrors: unknown[] = []
  #waiting: (() => void)[] = []

  upsert(object: Ingested): void {
    this.objects.set(object.key, object)
    this.#record(`upsert ${object.key}`)
  }

  delete(key: string): void {
    assert.ok(this.objects.delete(key), `${key} is deleted but was not there`)
    this.#record(`delete ${key}`)
  }

  synced(): void {
    this.#record('synced')
  }

  failureChanged(failure: ReflectorFailure | undefined): void {
    this.failures.push(failure)
    this.#wake()
  }

  handlerFailed(error: unknown): void {
    this.handlerErrors.push(error)
    this.#wake()
  }

  get keys(): string[] {
    return [...this.objects.keys()].sort()
  }

  async until(condition: () => boolean, what: string, milliseconds = 5_000): Promise<void> {
    const end = performance.now() + milliseconds
    while (!condition()) {
      const left = end - performance.now()
      if (left <= 0) assert.fail(`waited in vain for: ${what}\n${JSON.stringify([this.calls, this.failures], null, 1)}`)
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve)
        // Some conditions do not depend on calls of the handler.
        timer = setTimeout(resolve, Math.min(left, 10))
      })
      clearTimeout(timer)
    }
  }

  untilHas(key: string): Promise<void> {
    return this.until(() => this.objects.has(key), key)
  }

  untilSynced(): Promise<void> {
    return this.until(() => this.calls.includes('synced'), 'synced')
  }

  #record(call: string): void {
    this.calls.push(call)
    this.#wake()
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

export interface Observed {
  readonly api: FakeApi
  readonly told: RecordingHandler
  readonly reflector: Reflector
  /** Requests with one verb so far. */
  asked(verb: Asked['verb']): Asked[]
}

type Options = Partial<ReflectorOptions> & {
  readonly api?: FakeApiOptions
  readonly collection?: Kind
  readonly client?: ConstructorParameters<typeof KubernetesClient>[2]
}

/** Passes a reflector of Routes to a test, not started. */
export function observe(run: (observed: Observed) => Promise<void>, options: Record<string, never> | object = {}) {
  const {
    api: apiOptions,
    client: clientOptions,
    ...rest
  } = options as Omit<Options, 'client'> & {
    client?: ConstructorParameters<typeof KubernetesClient>[2]
  }
  return async () => {
    const api = await new FakeApi(apiOptions).listen()
    const client = new KubernetesClient(new StaticCredentials(api.url), systemTimers, clientOptions)
    const told = new RecordingHandler()
    const reflector = new Reflector({
      kind: 'Route',
      client,
      handler: told,
      random: Math.random,
      time: systemTimers,
      ...rest,
      pacing: { ...QUICK, ...rest.pacing },
    })
    try {
      await run({ api, told, reflector, asked: (verb) => api.asked.filter((one) => one.verb === verb) })
    } finally {
      await reflector.stop()
      await client.close()
      await api.kill()
    }
  }
}
