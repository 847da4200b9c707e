/**
 * The last field block of a connection: many peers send the same one again and again (calls of one gRPC method, polls,
 * load tests), and as long as no table has changed it means the same section.
 */

import { type Fields, LINES } from '../message/fields.ts'
import type { HeadLimits } from '../message/head.ts'
import type { HeaderSection, SectionKind } from './header-section.ts'

/** Bytes of a block that is remembered: longer ones hold what differs each time. */
const MAX_BLOCK = 256
/** Bytes of a section that is kept. */
const MAX_SECTION = 2048
const NOTHING = Buffer.alloc(0)

export class BlockMemo {
  #block: Buffer | null = null
  #length = -1
  #kind: SectionKind = 0
  #limits: HeadLimits | null = null
  /** Kept once the block has come twice; of its fields, the bytes and the spans. */
  #section: Omit<HeaderSection, 'clear'> | null = null
  #lines: Buffer = NOTHING
  #linesEnd = 0
  #spans: number[] = []

  /** A table has changed, so that the block may mean something else. */
  forget(): void {
    this.#length = -1
    this.#section = null
  }

  /** @returns whether the section was filled in */
  recall(
    bytes: Buffer,
    start: number,
    end: number,
    kind: SectionKind,
    limits: HeadLimits,
    section: HeaderSection,
  ): boolean {
    const kept = this.#section
    if (kept === null || !this.#isLast(bytes, start, end, kind, limits)) return false
    const { fields } = section
    const spans = this.#spans
    fields.clear(this.#lines)
    for (let i = 0; i < spans.length; i += 4) fields.push(spans[i]!, spans[i + 1]!, spans[i + 2]!, spans[i + 3]!)
    fields.end = this.#linesEnd
    fields.layout = LINES
    section.lasting = true
    section.method = kept.method
    section.scheme = kept.scheme
    section.authority = kept.authority
    section.path = kept.path
    section.protocol = kept.protocol
    section.status = kept.status
    return true
  }

  /** The block was decoded, and no table has changed by it. */
  remember(
    bytes: Buffer,
    start: number,
    end: number,
    kind: SectionKind,
    limits: HeadLimits,
    section: HeaderSection,
  ): void {
    const { fields } = section
    if (this.#isLast(bytes, start, end, kind, limits)) {
      if (fields.end <= MAX_SECTION && fields.untouched && !fields.someUnindexed) this.#keep(section)
      return
    }
    this.#section = null
    this.#length = -1
    if (end - start > MAX_BLOCK) return
    this.#block ??= Buffer.allocUnsafeSlow(MAX_BLOCK)
    bytes.copy(this.#block, 0, start, end)
    this.#length = end - start
    this.#kind = kind
    this.#limits = limits
  }

  #isLast(bytes: Buffer, start: number, end: number, kind: SectionKind, limits: HeadLimits): boolean {
    const length = end - start
    if (length !== this.#length || kind !== this.#kind || limits !== this.#limits) return false
    const block = this.#block!
    for (let i = 0; i < length; i++) if (block[i] !== bytes[start + i]) return false
    return true
  }

  #keep(section: HeaderSection): void {
    const { fields } = section
    fields.detach()
    section.lasting = true
    this.#lines = fields.bytes
    this.#linesEnd = fields.end
    this.#spans = spansOf(fields)
    this.#section = { ...section }
  }
}

function spansOf(fields: Fields): number[] {
  const spans: number[] = []
  for (let i = 0; i < fields.count; i++)
    spans.push(fields.nameStart(i), fields.nameEnd(i), fields.valueStart(i), fields.valueEnd(i))
  return spans
}
