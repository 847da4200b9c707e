/** Any course of lookups, puts, updates and removals by several replicas, against a model of a few lines. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { ArchiveAnswer, ArchivePut, ArchiveTicket, ResponseArchive } from '../../src/cache/response-archive.ts'
import { FileStore } from '../../src/store/archive/file-store.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { recordArchive } from '../lib/record-archive.ts'
import { recordsOf } from '../store/file-archive-writer.ts'
import { bytes, HOUR, sourceOf } from '../suite/response-archive.ts'

type Step = { readonly replica: 0 | 1; readonly key: number; readonly value: number } & (
  | { readonly act: 'find' | 'remove' | 'forget' }
  | { readonly act: 'put' | 'update'; readonly vary: number; readonly text: number }
)

const small = (max: number) => fc.nat(max)
const base = { replica: fc.constantFrom(0 as const, 1 as const), key: fc.constant(0), value: small(1) }
const STEP: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ ...base, act: fc.constant('find' as const) }) },
  { weight: 1, arbitrary: fc.record({ ...base, act: fc.constantFrom('remove' as const, 'forget' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      ...base,
      act: fc.constantFrom('put' as const, 'update' as const),
      vary: small(2),
      text: small(99),
    }),
  },
)

/** What one key has: a response for all, or variants by one vary record. `changes` counts what makes tickets late. */
interface Model {
  vary: string | null
  readonly responses: Map<string, string>
  changes: number
  /** By variant; '' is the root. */
  readonly puts: Map<string, number>
}

interface Held {
  readonly ticket: ArchiveTicket
  readonly changes: number
  readonly vary: string | null
  readonly variant: string
  readonly puts: number
  readonly hit: boolean
}

const variantOf = (vary: string, value: number): string => `${vary}=${value}`

class Course {
  readonly #archives: readonly ResponseArchive[]
  readonly #models = new Map<number, Model>()
  /** Tickets that a replica has kept, by replica, key and value. */
  readonly #held = new Map<string, Held>()

  constructor(archives: readonly ResponseArchive[]) {
    this.#archives = archives
  }

  async take(step: Step): Promise<void> {
    const archive = this.#archives[step.replica]!
    const model = this.#modelOf(step.key)
    const primary = bytes(`key ${step.key}`)
    if (step.act === 'find') return this.#find(archive, model, step)
    if (step.act === 'forget') return void this.#held.delete(nameOf(step))
    if (step.act === 'remove') {
      assert.equal(await archive.remove({ namespace: 'shop', primary }), true)
      model.vary = null
      model.responses.clear()
      model.changes++
      return
    }
    const held = this.#held.get(nameOf(step))
    if (held === undefined) return
    const outcome = await this.#change(archive, held, step)
    assert.equal(outcome, this.#expected(model, held, step), JSON.stringify(step))
  }

  #modelOf(key: number): Model {
    let model = this.#models.get(key)
    if (model === undefined)
      this.#models.set(key, (model = { vary: null, responses: new Map(), changes: 0, puts: new Map() }))
    return model
  }

  async #find(archive: ResponseArchive, model: Model, step: Step): Promise<void> {
    const answer = await archive.find({
      namespace: 'shop',
      primary: bytes(`key ${step.key}`),
      variantOf: (vary) => bytes(variantOf(String(Buffer.from(vary)), step.value)),
    })
    const variant = model.vary === null ? '' : variantOf(model.vary, step.value)
    assert.equal(textOf(answer), model.responses.get(variant) ?? 'none', JSON.stringify(step))
    const { ticket } = answer as Exclude<ArchiveAnswer, { type: 'away' }>
    const puts = model.puts.get(variant) ?? 0
    const hit = answer.type === 'found'
    this.#held.set(nameOf(step), { ticket, changes: model.changes, vary: model.vary, variant, puts, hit })
  }

  async #change(archive: ResponseArchive, { ticket }: Held, step: Step): Promise<ArchivePut> {
    if (step.act !== 'put' && step.act !== 'update') throw new Error('no change')
    const head = bytes(`h${step.text}`)
    if (step.act === 'update') return await archive.update(ticket, { head, ttl: HOUR })
    const vary = step.vary === 0 ? undefined : `v${step.vary}`
    const variant = vary === undefined ? undefined : { vary: bytes(vary), key: bytes(variantOf(vary, step.value)) }
    const record = variant === undefined ? { head, ttl: HOUR } : { head, ttl: HOUR, variant }
    return await archive.put(ticket, record, sourceOf(bytes(`b${step.text}`)))
  }

  #expected(model: Model, held: Held, step: Step): ArchivePut {
    if (step.act !== 'put' && step.act !== 'update') throw new Error('no change')
    if (step.act === 'update' && !held.hit) return 'refused'
    // Another vary record, a response in its place, or a removal came before.
    if (held.changes !== model.changes) return 'late'
    const sameVariant = (model.puts.get(held.variant) ?? 0) === held.puts
    if (step.act === 'update') {
      if (!sameVariant) return 'late'
      const [, body] = model.responses.get(held.variant)!.split('|')
      model.responses.set(held.variant, `h${step.text}|${body}`)
      return 'put'
    }
    const vary = step.vary === 0 ? null : `v${step.vary}`
    const variant = vary === null ? '' : variantOf(vary, step.value)
    if (vary !== null && vary === model.vary) {
      if (!sameVariant) return 'late'
    } else {
      model.responses.clear()
      model.vary = vary
      model.changes++
    }
    model.responses.set(variant, `h${step.text}|b${step.text}`)
    model.puts.set(variant, (model.puts.get(variant) ?? 0) + 1)
    return 'put'
  }
}

const nameOf = ({ replica, key, value }: Step): string => `${replica} ${key} ${value}`

function textOf(answer: ArchiveAnswer): string {
  if (answer.type !== 'found') return answer.type
  return `${Buffer.from(answer.head)}|${Buffer.from(answer.whole!)}`
}

describe('any course of calls of an archive', () => {
  it('finds what a model of it does, and takes the puts that it takes', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'headgate-archive-'))
    let courses = 0
    try {
      await fc.assert(
        fc.asyncProperty(fc.array(STEP, { minLength: 30, maxLength: 60, size: 'max' }), async (steps) => {
          const stateDirectory = join(folder, String(courses++))
          const store = new FileStore({
            maxFiles: 131_072,
            stateDirectory,
            maxBytes: 1e8,
            clock: systemTimers,
            failure: () => {},
            unread: () => {},
          })
          while (store.step());
          const archives = [0, 1].map(() =>
            recordArchive({ name: 'File', records: recordsOf(store), maxBodyBytes: 1_000 }),
          )
          const course = new Course(archives)
          for (const step of steps) await course.take(step)
        }),
        { numRuns: 60 },
      )
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
