/**
 * Property test of the reconciliation of any checkpoint with any state of the cluster, reported in any order by a
 * scripted source.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import type { Kind } from '../../../src/api/kinds.ts'
import { type Checkpoint, objectId } from '../../../src/source/checkpoint/checkpoint.ts'
import { CheckpointedSource, type ReadTrackingSource } from '../../../src/source/checkpoint/checkpointed-source.ts'
import type { Interest, SourceEvent, SourceHandler } from '../../../src/source/source.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { interestIn, Recorder } from '../../suite/source.ts'

/** Versions of objects by name. Names with the prefix `s` are Services, which are reported only when referred to. */
type ObjectVersions = Readonly<Record<string, string>>

const kindOf = (name: string): Kind => (name.startsWith('s') ? 'Service' : name.startsWith('b') ? 'Backend' : 'Route')
const keyOf = (name: string) => `shop/${name}`
const raw = (name: string, version: string) => ({
  apiVersion: 'v',
  kind: kindOf(name),
  // A different first letter is a different object of the same name.
  metadata: { name, namespace: 'shop', uid: version.slice(0, 1) },
  version,
})
const upsert = (name: string, version: string): SourceEvent => ({
  type: 'upsert',
  kind: kindOf(name),
  key: keyOf(name),
  raw: raw(name, version),
  origin: { cluster: true },
})

class ScriptedSource implements ReadTrackingSource {
  handler: SourceHandler | undefined
  needs: Interest | undefined
  readonly state = new Map<string, string>()
  readonly reported = new Set<string>()
  readonly #objects: ObjectVersions
  refused: (kind: Kind) => boolean = () => false

  constructor(objects: ObjectVersions) {
    this.#objects = objects
  }

  start(handler: SourceHandler): void {
    this.handler = handler
  }

  interest(needs: Interest): void {
    this.needs = needs
  }

  async stop(): Promise<void> {}

  locate(): undefined {
    return undefined
  }

  hasSynced(kind: Kind, key: string): boolean {
    if (this.refused(kind)) return false
    const name = key.slice(key.indexOf('/') + 1)
    const version = this.#wanted(name) ? this.#objects[name] : undefined
    return this.state.get(name) === version
  }

  #wanted(name: string): boolean {
    return kindOf(name) !== 'Service' || this.needs?.get('Service')?.has(keyOf(name)) === true
  }

  /** Reports one object whose state differs. @returns whether there was one */
  reportOne(): boolean {
    for (const [name, version] of Object.entries(this.#objects))
      if (this.#wanted(name) && !this.refused(kindOf(name)) && this.state.get(name) !== version) {
        this.state.set(name, version)
        this.reported.add(name)
        this.handler!.changed([upsert(name, version)])
        return true
      }
    for (const name of this.state.keys())
      if (!this.#wanted(name) || this.#objects[name] === undefined) {
        this.state.delete(name)
        this.handler!.changed([{ type: 'delete', kind: kindOf(name), key: keyOf(name) }])
        return true
      }
    return false
  }
}

const name = fc.constantFrom('r1', 'r2', 'r3', 'b1', 'b2', 's1', 's2')
const version = fc.constantFrom('a1', 'a2', 'z1')
const world: fc.Arbitrary<ObjectVersions> = fc.dictionary(name, version).map((one) => ({ ...one, r0: 'a1' }))
const services = fc.subarray(['shop/s1', 'shop/s2'])
const step = fc.oneof(
  fc.record({ do: fc.constant('tell' as const) }),
  fc.record({ do: fc.constant('turn' as const) }),
  fc.record({ do: fc.constant('need' as const), services }),
)

function checkpointOf(memory: ObjectVersions): Checkpoint {
  const objects = new Map(
    Object.entries(memory).map(([name, version]) => {
      const kind = kindOf(name)
      const reference = kind === 'Service' ? `Service ${keyOf(name)}` : undefined
      return [
        objectId(kind, keyOf(name)),
        { kind, key: keyOf(name), reference, text: JSON.stringify(raw(name, version)) },
      ]
    }),
  )
  return { written: 0, objects }
}

describe('reconciliation of a checkpoint', () => {
  it('ends with the state of the source, and never deletes an object that is in both', async () => {
    const script = fc.record({
      memory: world,
      truth: world,
      before: fc.array(step, { maxLength: 6 }),
      between: fc.array(step, { maxLength: 12 }),
      refuses: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(script, async ({ memory, truth, before, between, refuses }) => {
        const source = new ScriptedSource(truth)
        let clock = 0
        let complete = false
        const recorder = new Recorder()
        const checkpointed = new CheckpointedSource({
          source,
          writer: {
            record: () => {},
            markComplete: () => {
              complete = true
            },
            current: true,
          },
          loadCheckpoint: async () => checkpointOf(memory),
          server: 'there',
          log: { info: () => {}, warn: () => {} },
          time: { ...systemTimers, wall: () => 0, monotonic: () => clock },
          failed: (error) => assert.fail(error as Error),
        })
        const both = Object.keys(memory).filter((one) => kindOf(one) !== 'Service' && truth[one] !== undefined)
        const check = () => {
          if (recorder.syncedAfter === null) return
          for (const one of both) {
            const replaced = memory[one]![0] !== truth[one]![0]
            assert.ok(replaced || recorder.objects.has(objectId(kindOf(one), keyOf(one))), `${one} is gone`)
          }
        }
        const run = async (steps: readonly (typeof between)[number][]) => {
          for (const one of steps) {
            if (one.do === 'tell') source.reportOne()
            else if (one.do === 'need') {
              needs = one.services
              checkpointed.interest(interestIn(one))
            } else await turn()
            check()
          }
        }
        let needs: readonly string[] = []
        const synced = recorder.synced.bind(recorder)
        recorder.synced = () => {
          const known = needs.filter((key) => [memory, truth].every((world) => world[key.slice(5)] !== undefined))
          // Objects that the source has reported are not served from the checkpoint any more.
          for (const key of known.filter((key) => !source.reported.has(key.slice(5))))
            assert.ok(recorder.objects.has(objectId('Service', key)), `${key} is referred to and not emitted`)
          synced()
        }
        checkpointed.start(recorder)
        await run(before)
        source.handler!.problems([{ severity: 'error', reason: 'ClusterUnavailable', message: 'away' }])
        await run(between)
        source.refused = (kind) => refuses && kind === 'Backend'
        while (source.reportOne()) check()
        source.handler!.problems([])
        source.handler!.synced()
        for (let i = 0; i < 60 && recorder.syncedAfter === null; i++) await turn()
        assert.ok(recorder.syncedAfter !== null, 'synced was not emitted')
        check()
        source.refused = () => false
        clock += 100_000
        while (source.reportOne()) check()
        checkpointed.interest(source.needs ?? new Map())
        for (let i = 0; i < 60; i++) {
          while (source.reportOne()) check()
          await turn()
        }
        const needed = new Set(source.needs?.get('Service'))
        const expected = Object.keys(truth).filter((one) => kindOf(one) !== 'Service' || needed.has(keyOf(one)))
        const leftover = [...recorder.objects.keys()].filter(
          (id) => !expected.some((one) => id === objectId(kindOf(one), keyOf(one))),
        )
        // Objects of a forbidden kind are removed at the next check.
        if (!refuses) assert.deepEqual(leftover, [])
        for (const one of expected)
          assert.deepEqual(recorder.objects.get(objectId(kindOf(one), keyOf(one))), raw(one, truth[one]!), one)
        if (!refuses) assert.ok(complete)
        await checkpointed.stop()
      }),
      { numRuns: 300 },
    )
  })
})
