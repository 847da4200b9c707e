/** PRIORITY_UPDATE frames that came before their requests (RFC 9218 §7): some are kept until these come. */
import { type Priority, readPriority } from '../http/priority.ts'

const KEPT = 32
/** Bytes of one. */
const LONGEST = 64

export class PriorityUpdates {
  #texts: Map<number, string> | null = null

  keep(stream: number, text: string): void {
    if (text.length > LONGEST) return
    this.#texts ??= new Map()
    // The newest of a stream counts, and the oldest stream is the first to be forgotten.
    this.#texts.delete(stream)
    this.#texts.set(stream, text)
    if (this.#texts.size > KEPT) this.#texts.delete(this.#texts.keys().next().value!)
  }

  /** The request has come. */
  apply(stream: number, into: Priority): void {
    const texts = this.#texts
    if (texts === null) return
    const text = texts.get(stream)
    if (text === undefined) return
    readPriority(text, into)
    texts.delete(stream)
  }
}
