/**
 * Whatever is remembered, whatever there is by now, and in whatever order it is told: a source that is scripted, on a
 * memory that is made up.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import type { Kind } from '../../../src/api/kinds.ts'
import { type Checkpoint, idOf } from '../../../src/source/checkpoint/checkpoint.ts'
import { CheckpointedSource, type KnowingSource } from '../../../src/source/checkpoint/checkpointed-source.ts'
import type { Interest, SourceEvent, SourceHandler } from '../../../src/source/source.ts'
import { interestIn, Recorder } from '../../suite/source.ts'

/** Objects by name; a text is the version of one. Those that begin with `s` are Services, told only when needed. */
type World = Readonly<Record<string, string>>

const kindOf = (name: string): Kind => (name.startsWith('s') ? 'Service' : name.startsWith('b') ? 'Backend' : 'Route')
const keyOf = (name: string) => `shop/${name}`
const raw = (name: string, version: string) => ({
  apiVersion: 'v',
  kind: kindOf(name),
  // Another letter in front is another object of the same name.
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

class Scripted implements KnowingSource {
  handler: SourceHandler | undefined
  needs: Interest | undefined
  readonly told = new Map<string, string>()
  readonly spoken = new Set<string>()
  readonly #truth: World
  refused: (kind: Kind) => boolean = () => false

  constructor(truth: World) {
    this.#truth = truth
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

  knows(kind: Kind, key: string): boolean {
    if (this.refused(kind)) return false
    const name = key.slice(key.indexOf('/') + 1)
    const truth = this.#wanted(name) ? this.#truth[name] : undefined
    return this.told.get(name) === truth
  }

  #wanted(name: string): boolean {
    return kindOf(name) !== 'Service' || this.needs?.get('Service')?.has(keyOf(name)) === true
  }

  /** One that it has not told as it is. @returns whether there was one */
  tellOne(): boolean {
    for (const [name, version] of Object.entries(this.#truth))
      if (this.#wanted(name) && !this.refused(kindOf(name)) && this.told.get(name) !== version) {
        this.told.set(name, version)
        this.spoken.add(name)
        this.handler!.changed([upsert(name, version)])
        return true
      }
    for (const name of this.told.keys())
      if (!this.#wanted(name) || this.#truth[name] === undefined) {
        this.told.delete(name)
        this.handler!.changed([{ type: 'delete', kind: kindOf(name), key: keyOf(name) }])
        return true
      }
    return false
  }
}

const name = fc.constantFrom('r1', 'r2', 'r3', 'b1', 'b2', 's1', 's2')
const version = fc.constantFrom('a1', 'a2', 'z1')
const world: fc.Arbitrary<World> = fc.dictionary(name, version).map((one) => ({ ...one, r0: 'a1' }))
const services = fc.subarray(['shop/s1', 'shop/s2'])
const step = fc.oneof(
  fc.record({ do: fc.constant('tell' as const) }),
  fc.record({ do: fc.constant('turn' as const) }),
  fc.record({ do: fc.constant('need' as const), services }),
)

function recollectionOf(memory: World): Checkpoint {
  const objects = new Map(
    Object.entries(memory).map(([name, version]) => {
      const kind = kindOf(name)
      const need = kind === 'Service' ? `Service ${keyOf(name)}` : undefined
      return [idOf(kind, keyOf(name)), { kind, key: keyOf(name), need, text: JSON.stringify(raw(name, version)) }]
    }),
  )
  return { written: 0, objects }
}

describe('catching up', () => {
  it('ends with what there is, and never loses an object that is in both', async () => {
    const script = fc.record({
      memory: world,
      truth: world,
      before: fc.array(step, { maxLength: 6 }),
      between: fc.array(step, { maxLength: 12 }),
      refuses: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(script, async ({ memory, truth, before, between, refuses }) => {
        const source = new Scripted(truth)
        let clock = 0
        let complete = false
        const heard = new Recorder()
        const remembered = new CheckpointedSource({
          source,
          writer: {
            note: () => {},
            complete: () => {
              complete = true
            },
            current: true,
          },
          recall: async () => recollectionOf(memory),
          server: 'there',
          log: { info: () => {}, warn: () => {} },
          wall: () => 0,
          now: () => clock,
          failed: (error) => assert.fail(error as Error),
        })
        const both = Object.keys(memory).filter((one) => kindOf(one) !== 'Service' && truth[one] !== undefined)
        const check = () => {
          if (heard.syncedAfter === null) return
          for (const one of both) {
            const replaced = memory[one]![0] !== truth[one]![0]
            assert.ok(replaced || heard.objects.has(idOf(kindOf(one), keyOf(one))), `${one} is gone`)
          }
        }
        const run = async (steps: readonly (typeof between)[number][]) => {
          for (const one of steps) {
            if (one.do === 'tell') source.tellOne()
            else if (one.do === 'need') {
              needs = one.services
              remembered.interest(interestIn(one))
            } else await turn()
            check()
          }
        }
        let needs: readonly string[] = []
        const synced = heard.synced.bind(heard)
        heard.synced = () => {
          const known = needs.filter((key) => [memory, truth].every((world) => world[key.slice(5)] !== undefined))
          // What the source has spoken of is no matter of memory any more.
          for (const key of known.filter((key) => !source.spoken.has(key.slice(5))))
            assert.ok(heard.objects.has(idOf('Service', key)), `${key} is needed and not told`)
          synced()
        }
        remembered.start(heard)
        await run(before)
        source.handler!.problems([{ severity: 'error', reason: 'ClusterUnavailable', message: 'away' }])
        await run(between)
        source.refused = (kind) => refuses && kind === 'Backend'
        while (source.tellOne()) check()
        source.handler!.problems([])
        source.handler!.synced()
        for (let i = 0; i < 60 && heard.syncedAfter === null; i++) await turn()
        assert.ok(heard.syncedAfter !== null, 'synced was not told')
        check()
        source.refused = () => false
        clock += 100_000
        while (source.tellOne()) check()
        remembered.interest(source.needs ?? new Map())
        for (let i = 0; i < 60; i++) {
          while (source.tellOne()) check()
          await turn()
        }
        const needed = new Set(source.needs?.get('Service'))
        const expected = Object.keys(truth).filter((one) => kindOf(one) !== 'Service' || needed.has(keyOf(one)))
        const leftover = [...heard.objects.keys()].filter(
          (id) => !expected.some((one) => id === idOf(kindOf(one), keyOf(one))),
        )
        // What was refused goes when it is looked at the next time.
        if (!refuses) assert.deepEqual(leftover, [])
        for (const one of expected)
          assert.deepEqual(heard.objects.get(idOf(kindOf(one), keyOf(one))), raw(one, truth[one]!), one)
        if (!refuses) assert.ok(complete)
        await remembered.stop()
      }),
      { numRuns: 300 },
    )
  })
})
