/**
 * Ends requests that come back here. Each request to an upstream carries one more entry in CDN-Loop (RFC 8586): an id
 * of the installation, and a mark of the rule, by which neither can be guessed or told from a name.
 */
import { createHmac } from 'node:crypto'
import { CDN_LOOP_FIELD, countPasses } from '../message/cdn-loop.ts'
import { FieldBlock } from '../message/field-block.ts'
import type { Fields } from '../message/fields.ts'
import type { RuleView } from '../snapshot/route-tables.ts'

/** Hexadecimal digits. */
const ID = 20
const MARK = 12

export interface LoopSettings {
  /** The same in all replicas of an installation, and in no other one. Not to be shown to anybody. */
  readonly seed: string
  /** How often a request may pass the installation. */
  readonly passes: number
}

export class LoopGuard {
  readonly #seed: string
  readonly #passes: number
  readonly #id: string
  #callBlock: FieldBlock | null = null
  /** Made when a rule first sends a request. */
  readonly #blocks = new WeakMap<RuleView, FieldBlock>()

  constructor({ seed, passes }: LoopSettings) {
    this.#seed = seed
    this.#passes = passes
    this.#id = `headgate-${this.#digest('installation', ID)}`
  }

  /** The same of a request that the gateway makes itself. */
  get callBlock(): FieldBlock {
    this.#callBlock ??= new FieldBlock([CDN_LOOP_FIELD, this.#id])
    return this.#callBlock
  }

  /** What a request that this rule sends on carries besides its own fields. */
  block(rule: RuleView): FieldBlock {
    let block = this.#blocks.get(rule)
    if (block === undefined) {
      block = new FieldBlock([CDN_LOOP_FIELD, `${this.#id};r=${this.#mark(rule)}`])
      this.#blocks.set(rule, block)
    }
    return block
  }

  /** @returns in what way a request that has CDN-Loop goes in a circle, for the log; undefined when it does not */
  detect(fields: Fields, rule: RuleView): string | undefined {
    const { total, marked, overlong } = countPasses(fields, this.#id, this.#mark(rule))
    if (overlong) return 'CDN-Loop is longer than that of any request that is not in a loop'
    if (marked > 0) return 'the request has passed this rule before'
    if (total >= this.#passes)
      return `the request has passed here ${total} times, which is limits.passes of the settings`
    return undefined
  }

  #mark(rule: RuleView): string {
    return this.#digest(`rule ${rule.key}`, MARK)
  }

  #digest(text: string, length: number): string {
    return createHmac('sha256', this.#seed).update(text).digest('hex').slice(0, length)
  }
}
