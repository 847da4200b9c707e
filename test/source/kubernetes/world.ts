/** A source on a fake API server, with short waits. */

import { KubernetesClient } from '../../../src/source/kubernetes/client.ts'
import { StaticCredentials } from '../../../src/source/kubernetes/credentials.ts'
import { type KubernetesOptions, KubernetesSource } from '../../../src/source/kubernetes/kubernetes-source.ts'
import type { ReflectorTimings } from '../../../src/source/kubernetes/reflector-options.ts'
import type { Interest } from '../../../src/source/source.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { Recorder } from '../../suite/source.ts'
import { FakeApi, type FakeApiOptions } from './fake-api.ts'

export const QUICK: Partial<ReflectorTimings> = {
  backoff: { initial: 20, max: 200 },
  maxPauseUnsynced: 100,
  maxPauseUnavailable: 100,
  minWatchDuration: 5,
}

export interface World {
  readonly api: FakeApi
  readonly client: KubernetesClient
  readonly source: KubernetesSource
  readonly heard: Recorder
  readonly failures: unknown[]
  close(): Promise<void>
}

export async function open(
  options: Partial<KubernetesOptions> = {},
  api: FakeApiOptions = {},
  interest?: Interest,
): Promise<World> {
  const fake = await new FakeApi(api).listen()
  const client = new KubernetesClient(new StaticCredentials(fake.url), systemTimers)
  const failures: unknown[] = []
  const source = new KubernetesSource({
    client,
    server: fake.url,
    random: Math.random,
    time: systemTimers,
    handlerFailed: (error) => failures.push(error),
    ...options,
    pacing: { ...QUICK, ...options.pacing },
  })
  if (interest !== undefined) source.interest(interest)
  return {
    api: fake,
    client,
    source,
    heard: new Recorder(),
    failures,
    close: async () => {
      await source.stop()
      await client.close()
      await fake.kill()
    },
  }
}

export const NOTHING: Interest = new Map()

/** Polls a condition that no call of the handler reports. */
export async function eventually(condition: () => boolean, what: string, milliseconds = 20_000): Promise<void> {
  const end = performance.now() + milliseconds
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
